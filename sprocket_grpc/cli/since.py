"""The type of the option `--since`: a duration before now, or a time."""

import re
from dataclasses import dataclass

import click

from sprocket_grpc.cli.times import DAY, EPOCH, HOUR, MINUTE, SECOND, now_micros, parse_rfc_3339, to_micros

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_FIRST = to_micros(EPOCH.replace(year=1))


@dataclass(frozen=True)
class Since:
    """A start time.

    Attributes:
        micros: Microseconds before now if `ago`, or else since 1970.
        ago: Whether the start is relative to now.
    """

    micros: int
    ago: bool

    def start(self, now: int) -> int:
        """Return the start in microseconds since 1970, given the present time."""
        return now - self.micros if self.ago else self.micros


class SinceType(click.ParamType[Since]):
    """Parses `--since`."""

    name = "since"

    def convert(self, value: str | Since, param: click.Parameter | None, ctx: click.Context | None) -> Since:
        """Parse a value, or fail with what is expected."""
        if isinstance(value, Since):
            return value
        since = _parse(value)
        if since is None:
            expected = "a duration such as 90s, 30m, 12h, 7d or 4w, or a time such as 2026-01-31T12:00:00Z"
            self.fail(f"expected {expected}, not {value!r}", param, ctx)
        now = now_micros()
        if since.start(now) >= now:
            self.fail(f"{value!r} is not in the past", param, ctx)
        if since.start(now) < _FIRST:
            self.fail(f"{value!r} is before the year 1", param, ctx)
        return since


def _parse(value: str) -> Since | None:
    if match := _AGO.fullmatch(value):
        return Since(int(match[1]) * _UNITS[match[2]], ago=True)
    try:
        return Since(parse_rfc_3339(value), ago=False)
    except ValueError:
        return None
