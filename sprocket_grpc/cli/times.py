"""Converts times between microseconds since 1970, as in charts, and text for people and programs."""

import re
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_RFC_3339 = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-][0-2]\d:[0-5]\d)", re.ASCII)
_DIGITS = 6
"""The digits of microseconds."""


def now_micros() -> int:
    """Return the present time in microseconds since 1970."""
    return time.time_ns() // 1000


def to_datetime(micros: int) -> datetime:
    """Return a time in UTC. Unlike `fromtimestamp`, this is exact and works for the years 1 to 9999."""
    return EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """Return a time that has a time zone in microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def rfc_3339(micros: int) -> str:
    """Return a time for programs: in UTC and with six fractional digits, so that the texts sort like the times."""
    return f"{to_datetime(micros).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_rfc_3339(text: str) -> int:
    """Return the first whole microsecond since 1970 that is not before a time.

    Fields have whole microseconds, so that the same fields are not before either of them.

    Raises:
        ValueError: The text is not a time as in RFC 3339.
    """
    found = _RFC_3339.fullmatch(text)
    if not found:
        raise ValueError(text)
    whole, fraction, zone = found.groups(default="")
    micros, rest = fraction[:_DIGITS].ljust(_DIGITS, "0"), fraction[_DIGITS:]
    return to_micros(datetime.fromisoformat(f"{whole}{zone}".upper())) + int(micros) + bool(rest.strip("0"))


def for_people(micros: int) -> str:
    """Return a time for people, to the second."""
    return f"{to_datetime(micros):%Y-%m-%d %H:%M:%S} UTC"
