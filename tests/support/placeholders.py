"""Placeholders in documents, such as LOCATION_ID or ETAG, for values that differ in every run."""

import json
import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"\b(?!ERROR_)(?:[A-Z]+_)*(?:ID|ETAG|KEY|TIME|TOKEN)\b")

# Placeholders that may have another value at each place.
_FREE = {"CALL_ID", "TIME"}


class Placeholders:
    """The values of placeholders; each gets its value from the first answer that contains it."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def put_into(self, text: str) -> str:
        """Replace the known placeholders in a text by their values."""
        return _WORD.sub(lambda match: self._values.get(match[0], match[0]), text)

    def put_into_json(self, text: str) -> str:
        """Replace the known placeholders in a JSON text by their values, escaped for a JSON string."""
        return _WORD.sub(lambda match: json.dumps(self._values.get(match[0], match[0]))[1:-1], text)

    def assert_alike(self, shown: Any, answered: Any) -> None:  # any JSON value
        """Check that an answer equals the documented one, and learn the values of new placeholders from it."""
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
        # Even indexes have the texts between placeholders, odd indexes the placeholders.
        parts = re.split(f"({_WORD.pattern})", shown)
        found = re.fullmatch("(.+)".join(map(re.escape, parts[::2])), answered, re.DOTALL)
        assert found, f"expected {shown!r}, got {answered!r}"
        for word, value in zip(parts[1::2], found.groups(), strict=True):
            if word not in _FREE:
                assert self._values.setdefault(word, value) == value, f"{word} had another value before"
