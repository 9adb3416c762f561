"""Words that stand in a document for what is different each time, such as LOCATION_ID or ETAG."""

import json
import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"\b(?!ERROR_)(?:[A-Z]+_)*(?:ID|ETAG|KEY|TIME|TOKEN)\b")

# These stand for anything.
_FREE = {"CALL_ID", "TIME"}


class Placeholders:
    """What the words stand for: each for what was answered where it came first."""

    def __init__(self) -> None:
        self._meanings: dict[str, str] = {}

    def put_into(self, text: str) -> str:
        """Put in what the words of a text stand for, where they have been before."""
        return _WORD.sub(lambda match: self._meanings.get(match[0], match[0]), text)

    def put_into_json(self, text: str) -> str:
        """Put it in as JSON writes it within quotes."""
        return _WORD.sub(lambda match: json.dumps(self._meanings.get(match[0], match[0]))[1:-1], text)

    def assert_alike(self, shown: Any, answered: Any) -> None:  # whatever JSON it is
        """Check that an answer is the one that is shown, and take what its new words stand for."""
        if isinstance(shown, Mapping):
            assert isinstance(answered, Mapping), answered
            assert sorted(shown) == sorted(answered), answered
            for name, value in shown.items():
                self.assert_alike(value, answered[name])
        elif isinstance(shown, list):
            assert isinstance(answered, list), answered
            assert len(shown) == len(answered), answered
            for one, other in zip(shown, answered, strict=True):
                self.assert_alike(one, other)
        elif isinstance(shown, str) and isinstance(answered, str):
            self._assert_alike(shown, answered)
        else:
            assert shown == answered

    def _assert_alike(self, shown: str, answered: str) -> None:
        # The texts between words are at even places, and the words at odd ones.
        parts = re.split(f"({_WORD.pattern})", shown)
        found = re.fullmatch("(.+)".join(map(re.escape, parts[::2])), answered, re.DOTALL)
        assert found, f"{answered!r} is not {shown!r}"
        for word, meaning in zip(parts[1::2], found.groups(), strict=True):
            if word not in _FREE:
                assert self._meanings.setdefault(word, meaning) == meaning, f"{word} was something else before"
