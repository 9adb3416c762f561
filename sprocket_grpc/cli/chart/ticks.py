"""Finds round numbers and times for the ticks of an axis."""

from datetime import UTC, datetime

from sprocket_grpc.cli.times import DAY, HOUR, MINUTE, SECOND, to_datetime, to_micros

_FACTORS = (1, 2, 5)
_BELOW_A_SECOND = [factor * 10**power for power in range(6) for factor in _FACTORS]
_CLOCK = [unit * count for unit in (SECOND, MINUTE) for count in (1, 2, 5, 10, 15, 30)]
_STEPS = [*_BELOW_A_SECOND, *_CLOCK, *(HOUR * count for count in (1, 2, 3, 6, 12)), DAY, 2 * DAY, 7 * DAY, 14 * DAY]
_MONTH_STEPS = [1, 2, 3, 6, *(12 * factor * 10**power for power in range(4) for factor in _FACTORS)]

# Weeks begin on Mondays; 1970 began on a Thursday.
_MONDAY = 4 * DAY


def number_ticks(low: int, high: int, count: int) -> list[int]:
    """Return at most `count` round numbers from `low` to `high`, at equal distances."""
    power = 1
    while True:
        for factor in _FACTORS:
            step = factor * power
            first = -(-low // step)
            if high // step - first < count:
                return [index * step for index in range(first, high // step + 1)]
        power *= 10


def time_ticks(start: int, end: int, count: int) -> list[tuple[int, str]]:
    """Return at most `count` round times from `start` to `end`, in microseconds since 1970, with labels in UTC."""
    for step in _STEPS:
        offset = _MONDAY if step % (7 * DAY) == 0 else 0
        first = -(-(start - offset) // step)
        last = (end - offset) // step
        if last - first < count:
            times = [index * step + offset for index in range(first, last + 1)]
            return [(each, _label(each, step, end - start)) for each in times]
    return _month_ticks(start, end, count)


def _month_ticks(start: int, end: int, count: int) -> list[tuple[int, str]]:
    first, last = (each.year * 12 + each.month - 1 for each in (to_datetime(start), to_datetime(end)))
    for step in _MONTH_STEPS:
        months = [month for month in range(first, last + 1) if month % step == 0]
        times = [time for time in map(_month_start, months) if time >= start]
        if len(times) <= count:
            return [(each, f"{to_datetime(each):{'%Y-%m' if step < 12 else '%Y'}}") for each in times]
    return []


def _month_start(month: int) -> int:
    return to_micros(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))


def _label(time: int, step: int, span: int) -> str:
    moment = to_datetime(time)
    if step >= DAY:
        return f"{moment:%Y-%m-%d}"
    if step >= MINUTE:
        return f"{moment:%H:%M}" if span <= DAY else f"{moment:%d %b %H:%M}"
    return f"{moment:%H:%M:%S}" if step >= SECOND else f"{moment:%H:%M:%S.%f}".rstrip("0").rstrip(".")
