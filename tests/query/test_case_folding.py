"""Case is ignored by Unicode's simple case folding, which belongs to no language."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprocket_grpc.query.case_folding import fold, other_cases

EVERY_CHARACTER = list(map(chr, range(sys.maxunicode + 1)))
EQUAL_IN_EXPRESSIONS_ONLY = set("iI\u0131\u0130")
"""Python's regular expressions take all of them for one letter."""


@pytest.mark.parametrize(
    "equal", ["aA", "zZ", "éÉ", "ßẞ", "σςΣ", "kK\u212a", "s\u017fS", "åÅ\u212b", "жЖ", "ǆǅǄ", "ᾳᾼ", "𐐨𐐀", "µμΜ"]
)
def test_letters_that_differ_in_case_only_are_equal(equal: str) -> None:
    assert len({fold(character) for character in equal}) == 1


@pytest.mark.parametrize(
    "different",
    [("i", "\u0131"), ("i", "\u0130"), ("\u0131", "\u0130"), ("ß", "ss"), ("é", "e"), ("é", "e\u0301"), ("ﬁ", "fi")],
)
def test_letters_that_differ_in_more_than_case_are_not_equal(different: tuple[str, str]) -> None:
    one, other = different
    assert fold(one) != fold(other)


def test_every_character_is_folded_into_one_that_stays() -> None:
    changed = [character for character in EVERY_CHARACTER if fold(character) != character]
    assert len(changed) > 1_400
    assert [each for each in changed if len(fold(each)) != 1 or fold(fold(each)) != fold(each)] == []
    assert [each for each in changed if not re.fullmatch(re.escape(fold(each)), each, re.IGNORECASE)] == []


def test_every_other_case_is_found_from_its_folded_character() -> None:
    for character in EVERY_CHARACTER:
        folded = fold(character)
        if not character.isascii() and folded != character:
            assert other_cases(folded)[character] == folded


def test_upper_and_lower_case_are_equal_as_far_as_they_are_single_characters() -> None:
    for character in set(EVERY_CHARACTER) - EQUAL_IN_EXPRESSIONS_ONLY:
        for other in (character.lower(), character.upper()):
            if len(other) == 1 and other.lower() == character.lower():
                assert fold(other) == fold(character), character


@given(st.text())
def test_a_text_is_folded_character_by_character(text: str) -> None:
    assert fold(text) == "".join(map(fold, text))
    assert set(other_cases(fold(text)).values()) <= set(fold(text))
