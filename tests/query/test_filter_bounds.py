"""The limits of filters, and random texts: every filter is either parsed or refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprocket_grpc.errors import InvalidArgumentError
from sprocket_grpc.query.expression import And
from tests.query.test_filter import AN_ID, KINDS, has, parsed, refusal


def test_an_error_quotes_at_most_64_characters() -> None:
    for text in ("x" * 1_000 + " = 1", "teeth = " + "x" * 1_000, "id = '" + "x" * 1_000 + "'"):
        assert "x" * 50 in refusal(text)
        assert "x" * 65 not in refusal(text)


def test_a_filter_may_have_at_most_2000_characters() -> None:
    assert parsed("x" * 2_000) == has("x" * 2_000)
    assert refusal("x" * 2_001) == "at most 2000 characters are allowed, the filter has 2001"
    assert "10000" in refusal("a " * 5_000)


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("-", ""), ("NOT ", ""), ("-(", ")")])
def test_a_filter_may_be_nested_at_most_32_deep(opening: str, closing: str) -> None:
    most = 16 if opening == "-(" else 32
    assert parsed(opening * most + "a" + closing * most) is not None
    description = refusal(opening * (most + 1) + "a" + closing * (most + 1))
    assert description == f"at character {most * len(opening) + 1}: at most 32 levels of nesting are allowed"


@pytest.mark.parametrize("opening", ["(", "-", "NOT ", "-(", "(a OR "])
def test_a_filter_with_a_thousand_levels_is_refused(opening: str) -> None:
    assert refusal(opening * 1_000)
    assert refusal(opening * (1_990 // len(opening)) + "a")
    assert refusal("(" * 995 + "a" + ")" * 995).startswith("at character 33: ")


def test_a_filter_may_have_at_most_100_comparisons() -> None:
    whole = parsed(" ".join(["a"] * 100))
    assert isinstance(whole, And)
    assert len(whole.operands) == 100
    assert refusal(" OR ".join(["a", "(b)"] * 50 + ["a"])) == "at character 601: at most 100 comparisons are allowed"


TOKENS = [
    "AND",
    "OR",
    "NOT",
    "-",
    "(",
    ")",
    "=",
    "!=",
    "<=",
    ":",
    "*",
    ".",
    ",",
    "\\",
    "'",
    '"',
    "'x'",
    '"*"',
    "\0",
    " ",
]
TOKENS += [*KINDS, "x", "5", "1.5", "-1e9", "2026-01-01T00:00:00Z", "2026-01-01T", AN_ID, "\u00a0", "\ud800", "é"]


def outcome(text: str) -> None:
    try:
        assert parsed(text) is not None or not text.strip()
    except InvalidArgumentError as error:
        assert [violation.field for violation in error.violations] == ["filter"]  # noqa: PT017  # both outcomes are right


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    outcome(text)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=25), st.sampled_from(["", " "]))
def test_any_tokens_are_parsed_or_refused(tokens: list[str], space: str) -> None:
    outcome(space.join(tokens))
