"""Times in microseconds since 1970, which is what charts have, and in what people and programs read."""

import re
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def now_micros() -> int:
    """Return the present time."""
    return time.time_ns() // 1000


def to_datetime(micros: int) -> datetime:
    """Return a time in UTC. Unlike `fromtimestamp`, exact and good for the years 1 to 9999."""
    return EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """Return a time that knows its zone in microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def rfc_3339(micros: int) -> str:
    """Write a time for programs, always with six digits of a second and in UTC, so that texts sort as times do."""
    return f"{to_datetime(micros).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_rfc_3339(text: str) -> int:
    """Read a time.

    Raises:
        ValueError: It is none.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(text)
    return to_micros(datetime.fromisoformat(text.upper()))


def for_people(micros: int) -> str:
    """Write a time for people, to the second."""
    return f"{to_datetime(micros):%Y-%m-%d %H:%M:%S} UTC"
