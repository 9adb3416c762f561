"""Parses times, and compares them exactly with fields that have whole microseconds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator
from sprocket_grpc.query.values import InvalidValueError, quoted

# RFC 3339, section 5.6, which does not limit the digits of a fraction.
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MINUTE = 60_000_000
_YEARS = "only the years 1 to 9999 are supported"
_DIGITS = 6
"""The digits of microseconds."""


@dataclass(frozen=True)
class Time:
    """A point in time.

    Attributes:
        micros: The last whole microsecond that is not after it, since 1970.
        is_whole: Whether it is this microsecond exactly.
    """

    micros: int
    is_whole: bool


def parse_time(text: str) -> Time:
    """Return the time that a text denotes, as in RFC 3339.

    Raises:
        InvalidValueError: The text denotes no time that a field can have. The error says why.
    """
    match = _TIME.fullmatch(text.upper())
    if match is None:
        raise _invalid(text, "expected a time such as 2026-01-31T12:00:00Z")
    *clock, fraction, zone = match.groups(default="")
    if not zone:
        raise _invalid(text, "the time zone is missing, such as Z or +01:00")
    if clock[-1] == "60":
        raise _invalid(text, "leap seconds are not supported, as in google.protobuf.Timestamp")
    if clock[0] == "0000":
        raise _invalid(text, _YEARS)
    try:
        micros = _micros(clock) + int(fraction[:_DIGITS].ljust(_DIGITS, "0")) - _offset(zone)
    except ValueError:
        raise _invalid(text, "there is no such day, time of day or offset") from None
    if not _FIRST <= micros <= _LAST:
        raise _invalid(text, _YEARS)
    return Time(micros, not fraction[_DIGITS:].strip("0"))


def compare_time(field: str, operator: Operator, time: Time) -> Expression:
    """Return the comparison of a field with a time, where the field has whole microseconds."""
    if time.is_whole:
        return Comparison(field, operator, time.micros)
    not_after = Comparison(field, Operator.LESS_OR_EQUAL, time.micros)
    after = Comparison(field, Operator.GREATER, time.micros)
    match operator:
        case Operator.LESS | Operator.LESS_OR_EQUAL:
            return not_after
        case Operator.GREATER | Operator.GREATER_OR_EQUAL:
            return after
    equal = And((not_after, after))  # no whole microsecond is
    return equal if operator is Operator.EQUAL else Not(equal)


def _micros(clock: Sequence[str]) -> int:
    """Convert year, month, day, hour, minute and second; raise ValueError if there is no such time."""
    year, month, day, hour, minute, second = map(int, clock)
    return (datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def _offset(zone: str) -> int:
    """Convert an offset to microseconds; raise ValueError if there is no such offset."""
    if zone == "Z":
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        raise ValueError(zone)
    minutes = int(match[2]) * 60 + int(match[3])
    return (minutes if match[1] == "+" else -minutes) * _MINUTE


def _invalid(text: str, why: str) -> InvalidValueError:
    return InvalidValueError(f"{quoted(text)} is not a time as in RFC 3339: {why}")
