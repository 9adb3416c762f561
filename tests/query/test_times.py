"""Times in filters are compared exactly with microseconds, for any digits and zone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprocket_grpc.errors import InvalidArgumentError
from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator
from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.values import Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
DAY = timedelta(days=1) // MICROSECOND
COMPARED = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge, ":": eq}
NEVER, ALWAYS = (False,) * 3, (True,) * 3

micros = st.integers(FIRST + DAY, LAST - DAY)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
more_digits = st.text("0123456789", max_size=12) | st.sampled_from(["000", "999", "001", "5", "0000000001"])


def parsed(text: str) -> Expression:
    expression = parse_filter(text, {"create_time": Kind.TIME})
    assert expression is not None
    return expression


def holds(expression: Expression, micros: int) -> bool:
    """Evaluate an expression as PostgreSQL does: over whole microseconds."""
    match expression:
        case And(operands):
            return all(holds(operand, micros) for operand in operands)
        case Not(operand):
            return not holds(operand, micros)
        case Comparison(_, operator, value):
            result: bool = COMPARED[operator.value](micros, value)
            return result
    raise AssertionError(expression)


@given(
    written=micros,
    digits=more_digits,
    zone=offsets,
    lettering=st.sampled_from([str.upper, str.lower]),
    distance=st.integers(-2, 2),
)
def test_a_time_compares_as_a_number_of_any_precision(
    written: int, digits: str, zone: timezone, lettering: Callable[[str], str], distance: int
) -> None:
    local = (EPOCH + written * MICROSECOND).astimezone(zone).isoformat(timespec="microseconds")
    text = lettering(local[:-6] + digits + (local[-6:] if zone.utcoffset(None) else "Z"))
    exact = written + Fraction(int(digits or "0"), 10 ** len(digits))
    for comparator, compared in COMPARED.items():
        expression = parsed(f"create_time {comparator} {text}")
        assert holds(expression, written + distance) == compared(written + distance, exact), (comparator, text)


@pytest.mark.parametrize(
    ("comparator", "expected"),
    [
        ("=", NEVER),
        (":", NEVER),
        ("!=", ALWAYS),
        ("<", (True, True, False)),
        ("<=", (True, True, False)),
        (">", (False, False, True)),
        (">=", (False, False, True)),
    ],
)
@pytest.mark.parametrize("digits", ["123456001", "123456789", "123456999", "1234560000000001"])
def test_a_time_between_two_microseconds_is_neither_of_them(
    comparator: str, expected: tuple[bool, ...], digits: str
) -> None:
    expression = parsed(f"create_time {comparator} 1970-01-01T00:00:00.{digits}Z")
    assert tuple(holds(expression, micros) for micros in (123_455, 123_456, 123_457)) == expected


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("0001-01-01T00:00:00.000000999Z", FIRST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
        ("9999-12-31T23:59:59.999999999-00:00", LAST),
    ],
)
def test_a_time_at_either_end_may_have_nine_digits(written: str, micros: int) -> None:
    assert parsed(f"create_time > {written}") == Comparison("create_time", Operator.GREATER, micros)


clock = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
almost = st.from_regex(clock + r"(\.[0-9]+)?[Z+-][^\\\"]{0,6}", fullmatch=True)


@given(st.text("0123456789-:.tTzZ+ ", max_size=40) | almost)
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        expression = parsed(f'create_time <= "{text}"')
    except InvalidArgumentError:
        return
    assert isinstance(expression, Comparison)
    assert isinstance(expression.value, int)
    assert FIRST <= expression.value <= LAST
