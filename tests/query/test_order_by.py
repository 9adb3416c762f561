"""The parser of orders."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprocket_grpc.errors import InvalidArgumentError
from sprocket_grpc.query.order import OrderTerm, parse_order_by
from sprocket_grpc.query.values import Kind

KINDS = {"a": Kind.TEXT, "b": Kind.INTEGER, "desc": Kind.TIME}

A, A_DOWN = OrderTerm("a", descending=False), OrderTerm("a", descending=True)
B, B_DOWN = OrderTerm("b", descending=False), OrderTerm("b", descending=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  ", ()),
        ("a", (A,)),
        ("a asc", (A,)),
        ("a desc", (A_DOWN,)),
        ("a,b", (A, B)),
        ("b, a", (B, A)),
        ("a desc, b", (A_DOWN, B)),
        ("a,b desc", (A, B_DOWN)),
        (" a , b desc ", (A, B_DOWN)),
        ("  a   desc  ,b   asc", (A_DOWN, B)),
        ("desc desc", (OrderTerm("desc", descending=True),)),
        (" " * 199 + "a", (A,)),
    ],
)
def test_an_order_is_parsed(text: str, expected: tuple[OrderTerm, ...]) -> None:
    assert parse_order_by(text, KINDS) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c", "'c' is not a field that can be ordered by"),
        ("A", "'A' is not a field that can be ordered by"),
        ("a.b", "'a.b' is not a field"),
        ("a\0", "is not a field"),
        ("-a", "'-a' is not a field"),
        ("a,", "expected a field"),
        (",a", "expected a field"),
        (",", "expected a field"),
        ("a,,b", "expected a field"),
        ("a b", "expected asc or desc after a, not 'b'"),
        ("a DESC", "not 'DESC'"),
        ("a desc desc", "not 'desc desc'"),
        ("a; b", "'a;' is not a field"),
        ("a, b, a desc", "a occurs more than once"),
        (" " * 200 + "a", "at most 200 characters are allowed, the order has 201"),
    ],
)
def test_an_error_names_the_mistake(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_order_by(text, KINDS)
    (violation,) = caught.value.violations
    assert violation.field == "order_by"
    assert words in violation.description


def test_an_order_may_have_200_characters() -> None:
    assert len(parse_order_by(" " * 199 + "a", KINDS)) == 1


def test_an_error_quotes_at_most_64_characters() -> None:
    for text in ("x" * 150, "a " + "x" * 150):
        with pytest.raises(InvalidArgumentError) as caught:
            parse_order_by(text, KINDS)
        assert "x" * 50 in str(caught.value)
        assert "x" * 65 not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(st.sampled_from(["a", "b", "desc", "asc", ",", " ", "\0", "\ud800"])).map("".join))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_order_by(text, KINDS)
    except InvalidArgumentError as error:
        assert [violation.field for violation in error.violations] == ["order_by"]  # noqa: PT017  # both outcomes are right
