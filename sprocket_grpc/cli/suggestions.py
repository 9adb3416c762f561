"""Suggests names for one that is unknown, as a typing error makes it."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return a question such as `did you mean 'list'? ` with the names most like a word, or an empty text.

    Args:
        word: What was typed. Its case does not matter.
        names: The known names.
    """
    folded = {each.casefold(): each for each in sorted(names)}
    similar = [folded[each] for each in difflib.get_close_matches(word.casefold(), folded)]
    return f"did you mean {' or '.join(map(repr, similar))}? " if similar else ""
