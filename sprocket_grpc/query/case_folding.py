"""Ignores upper and lower case by the same rules on every database: Unicode's simple case folding.

It compares character by character and belongs to no language: `ß` equals `ẞ` and not `ss`, `i` equals `I` and no
Turkish letter, and all three sigmas are equal. Each collation of PostgreSQL has other rules, and none that knows more
letters than those of ASCII exists in every version and build.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache

_PLANES_WITH_CASES = 0x20000  # beyond it are ideographs, which have no case


def fold(text: str) -> str:
    """Return a text in which characters that differ in case only are the same; it has as many characters."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


def other_cases(folded: str) -> dict[str, str]:
    """Return the characters beyond ASCII that are folded into those of a text, and into which."""
    others = _other_cases()
    return {other: each for each in dict.fromkeys(folded) for other in others.get(each, ())}


def _folded(character: str) -> str:
    """Fold a character. Its lower case takes the place of a folding into several characters."""
    folded = character.casefold()
    if len(folded) > 1:
        folded = character.lower()
    return folded if len(folded) == 1 else character


@cache
def _other_cases() -> Mapping[str, list[str]]:
    """Return the characters beyond ASCII that are folded into another one, by that one: 20 ms, for the first search."""
    found = defaultdict(list)
    for character in map(chr, range(0x80, _PLANES_WITH_CASES)):
        if character.casefold() != character and _folded(character) != character:
            found[_folded(character)].append(character)
    return dict(found)
