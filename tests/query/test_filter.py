"""The parser of filters: precedence, comparisons, and errors with their positions."""

import pytest

from sprocket_grpc.errors import InvalidArgumentError
from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator, Or
from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.values import Kind

KINDS = {
    "id": Kind.IDENTIFIER,
    "create_time": Kind.TIME,
    "display_name": Kind.TEXT,
    "city": Kind.TEXT,
    "teeth": Kind.INTEGER,
    "pitch_mm": Kind.NUMBER,
}
AN_ID = "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55"


def has(text: str) -> Comparison:
    return Comparison("display_name", Operator.HAS, text)


A, B, C, D = map(has, "abcd")


def parsed(text: str) -> Expression | None:
    return parse_filter(text, KINDS)


def refusal(text: str) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        parsed(text)
    (violation,) = caught.value.violations
    assert violation.field == "filter"
    return violation.description


@pytest.mark.parametrize("blank", ["", " ", "\t\n\u3000"])
def test_a_blank_filter_is_parsed_as_none(blank: str) -> None:
    assert parsed(blank) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("a AND b", And((A, B))),
        ("a b", And((A, B))),
        ("a OR b OR c", Or((A, B, C))),
        ("a AND b OR c", And((A, Or((B, C))))),
        ("a OR b AND c", And((Or((A, B)), C))),
        ("a b AND c OR d", And((A, B, Or((C, D))))),
        ("a OR b c OR d", And((Or((A, B)), Or((C, D))))),
        ("(a AND b) OR c", Or((And((A, B)), C))),
        ("a (b OR c)", And((A, Or((B, C))))),
        ("((a))", A),
        ("NOT a", Not(A)),
        ("-a", Not(A)),
        ("NOT a OR b", Or((Not(A), B))),
        ("-a b", And((Not(A), B))),
        ("a -b", And((A, Not(B)))),
        ("NOT (a b)", Not(And((A, B)))),
        ("NOT(a)", Not(A)),
        ("NOT -NOT a", Not(Not(Not(A)))),
        ("a and not", And((A, has("and"), has("not")))),
        ("ANDY ORE NOTE", And((has("ANDY"), has("ORE"), has("NOTE")))),
        ("\n a\tAND  b ", And((A, B))),
        ("city = x", Comparison("city", Operator.EQUAL, "x")),
        ("-city:x y", And((Not(Comparison("city", Operator.HAS, "x")), has("y")))),
    ],
)
def test_operators_have_the_precedence_of_aip_160(text: str, expected: Expression) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("New-York", "New-York"),
        ("3.5", "3.5"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("a*b", "a*b"),
        ("*", "*"),
        ("é🏭", "é🏭"),
        ('"a b"', "a b"),
        ("'a \"b\"'", 'a "b"'),
        (r'"a\"b\\c\*"', r'a"b\c*'),
        ('"AND"', "AND"),
        ('""', ""),
    ],
)
def test_a_bare_value_is_searched_in_the_display_name(text: str, value: str) -> None:
    assert parsed(text) == has(value)


@pytest.mark.parametrize("spaced", ["city{0}x", "city {0} x", "city{0} x", "city\n{0}\tx"])
@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
def test_text_supports_all_comparisons(spaced: str, operator: str) -> None:
    assert parsed(spaced.format(operator)) == Comparison("city", Operator(operator), "x")


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("city = foo*", Operator.STARTS_WITH, "foo"),
        ('city = "*foo"', Operator.ENDS_WITH, "foo"),
        ("city = '*foo*'", Operator.CONTAINS, "foo"),
        ("city = *", Operator.CONTAINS, ""),
        ("city = **", Operator.CONTAINS, ""),
        ("city = f*o", Operator.EQUAL, "f*o"),
        ("city = *f*o*", Operator.CONTAINS, "f*o"),
        (r'city = "\*foo"', Operator.EQUAL, "*foo"),
        (r'city = "foo\**"', Operator.STARTS_WITH, "foo*"),
        ("city < foo*", Operator.LESS, "foo*"),
        ("city:foo*", Operator.HAS, "foo*"),
        ("city:*", Operator.PRESENT, ""),
        ('city:"*"', Operator.HAS, "*"),
        ("city = -foo", Operator.EQUAL, "-foo"),
        ('city = "teeth"', Operator.EQUAL, "teeth"),
        ("city = ''", Operator.EQUAL, ""),
    ],
)
def test_text_supports_wildcards_and_presence(text: str, operator: Operator, value: str) -> None:
    assert parsed(text) == Comparison("city", operator, value)


def test_an_unequal_wildcard_is_a_negated_match() -> None:
    assert parsed("city != foo*") == Not(Comparison("city", Operator.STARTS_WITH, "foo"))


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">=", ":"])
@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        ("teeth", "5", 5),
        ("teeth", "-5", -5),
        ("teeth", '"5"', 5),
        ("teeth", "9223372036854775807", 2**63 - 1),
        ("teeth", "-9223372036854775808", -(2**63)),
        ("pitch_mm", "12", 12.0),
        ("pitch_mm", "-1.5e-3", -0.0015),
        ("pitch_mm", "2.997E+9", 2.997e9),
        ("create_time", "1970-01-01T00:00:00Z", 0),
        ("create_time", "1970-01-01t00:00:00.000001z", 1),
        ("create_time", "1970-01-01T00:00:00.000001000Z", 1),
        ("create_time", '"1970-01-01T01:30:00.5+01:30"', 500_000),
        ("create_time", "1969-12-31T23:00:00-01:00", 0),
        ("create_time", "0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("create_time", "9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("id", AN_ID, AN_ID),
        ("id", f"'{AN_ID}'", AN_ID),
    ],
)
def test_numbers_times_and_ids_support_all_comparisons(
    field: str, written: str, operator: str, value: str | float
) -> None:
    comparison = parsed(f"{field}{operator}{written}")
    assert comparison == Comparison(field, Operator.EQUAL if operator == ":" else Operator(operator), value)
    assert isinstance(comparison, Comparison)
    assert type(comparison.value) is type(value)


@pytest.mark.parametrize("field", KINDS)
def test_every_field_supports_the_test_for_presence(field: str) -> None:
    assert parsed(f"{field}:*") == Comparison(field, Operator.PRESENT, "")


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("color = red", 1, "'color' is not a field"),
        ("a  color=1", 4, "'color' is not a field"),
        ("5 = teeth", 1, "'5' is not a field"),
        ('"city" = x', 1, "is not a field"),
        ("city.name = x", 1, "'city.name' is not a field"),
        ("city = display_name", 8, "a field such as display_name cannot be the value"),
        ("city = a.b", 8, "'a.b' contains a dot; quote it"),
        ("a.b", 1, "'a.b' contains a dot; quote it"),
        ("city = 1.5x", 8, "'1.5x' contains a dot; quote it"),
        ("city = 2026-01-01T00:00x", 21, "unexpected ':'"),
        ("a matches(b)", 10, "functions are not supported"),
        ("city = lower(b)", 13, "functions are not supported"),
        ('"a""b"', 4, "expected white space"),
        ('city="a"b', 9, "expected white space"),
        ("(a)(b)", 4, "expected white space"),
        ("(a", 3, "expected a closing parenthesis"),
        ("a)", 2, "unexpected ')'"),
        ("()", 2, "unexpected ')'"),
        ("a AND", 6, "unexpected end of the filter"),
        ("OR a", 1, "unexpected 'OR'"),
        ("a AND OR b", 7, "unexpected 'OR'"),
        ("NOT", 4, "unexpected end of the filter"),
        ("city =", 7, "unexpected end of the filter"),
        ("city == x", 7, "unexpected '='"),
        ("city = (a OR b)", 8, "unexpected '('"),
        ("city = NOT", 8, "unexpected 'NOT'"),
        ("a - b", 3, "unexpected '-'; quote text"),
        ("a, b", 2, "unexpected ','; quote text"),
        ("a!", 2, "unexpected '!'; quote text"),
        ("a\\b", 2, "quote text that contains it"),
        ('city = "x', 8, "is not closed"),
        ("city = it's", 10, "is not closed"),
        (r'city = "\n"', 8, "is not an escape sequence"),
        ("city = 'a\0'", 8, "NUL"),
        ("a\0", 1, "NUL"),
        ("teeth = x", 9, "teeth: 'x' is not a whole number"),
        ("teeth = 5.0", 9, "not a whole number"),
        ("teeth = 1e3", 9, "not a whole number"),
        ("teeth = \u0665", 9, "not a whole number"),
        ("teeth = 9223372036854775808", 9, "not a whole number"),
        ("teeth = 5*", 9, "not a whole number"),
        ("teeth:'*'", 7, "not a whole number"),
        ("pitch_mm > inf", 12, "not a finite number"),
        ("pitch_mm > nan", 12, "not a finite number"),
        ("pitch_mm > 1e999", 12, "not a finite number"),
        ("create_time > yesterday", 15, "RFC 3339: expected a time such as 2026-01-31T12:00:00Z"),
        ("create_time > 2026-01-01", 15, "expected a time such as"),
        ("create_time > '2026-01-01 00:00:00Z'", 15, "expected a time such as"),
        ("create_time > 2026-01-01T00:00:00.Z", 15, "expected a time such as"),
        ("create_time > '2026-01-01T00:00:00,5Z'", 15, "expected a time such as"),
        ("create_time > 2026-01-01T00:00:00", 15, "the time zone is missing"),
        ("create_time > 2026-02-29T00:00:00Z", 15, "no such day, time of day or offset"),
        ("create_time > 2026-01-01T24:00:00Z", 15, "no such day, time of day or offset"),
        ("create_time > 2026-01-01T00:60:00Z", 15, "no such day, time of day or offset"),
        ("create_time > 2026-01-01T00:00:61Z", 15, "no such day, time of day or offset"),
        ("create_time > 2026-01-01T00:00:00+24:00", 15, "no such day, time of day or offset"),
        ("create_time > 2026-01-01T00:00:00-00:60", 15, "no such day, time of day or offset"),
        ("create_time > 2016-12-31T23:59:60Z", 15, "leap seconds are not supported"),
        ("create_time > 2017-01-01t08:59:60.5+09:00", 15, "leap seconds are not supported"),
        ("create_time > 0000-12-31T23:59:59Z", 15, "the years 1 to 9999"),
        ("create_time > 0001-01-01T00:00:00+00:01", 15, "the years 1 to 9999"),
        ("create_time > 9999-12-31T23:59:59-00:01", 15, "the years 1 to 9999"),
        (f"id = {AN_ID.upper()}", 6, "not a UUID"),
        ("id = 1*", 6, "not a UUID"),
    ],
)
def test_an_error_names_the_position_and_the_mistake(text: str, position: int, words: str) -> None:
    description = refusal(text)
    assert description.startswith(f"at character {position}: ")
    assert words in description


def test_a_bare_value_is_refused_without_a_display_name() -> None:
    with pytest.raises(
        InvalidArgumentError, match="at character 3: expected a field and an operator before the value 'x'"
    ):
        parse_filter("  x", {"city": Kind.TEXT})
