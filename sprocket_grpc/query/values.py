"""Parses values, and converts them to the kind of their field."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from sprocket_grpc.query.expression import Value

_SHOWN_CHARACTERS = 64

_CHARACTER = re.compile(r"\\[\s\S]|[^\\]")
_ESCAPES = {f"\\{character}" for character in "\"'\\*"}

_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Kind(Enum):
    """The kind of a field, which determines how values are parsed and what operators mean."""

    TEXT = auto()
    """Any text."""

    INTEGER = auto()
    """A whole number of up to 64 bits."""

    NUMBER = auto()
    """A floating-point number of 64 bits."""

    TIME = auto()
    """A point in time, to the microsecond."""

    IDENTIFIER = auto()
    """A UUID."""


class InvalidValueError(Exception):
    """A value is not valid. The text says why."""


@dataclass(frozen=True)
class Literal:
    """A value in a filter, without its quotes and escapes.

    Attributes:
        text: The value.
        position: The position in the filter, from 0 on.
        quoted: Whether the value was in quotes.
        leading_wildcard: Whether the value begins with a `*` that is not escaped.
        trailing_wildcard: Whether the value ends with a `*` that is not escaped.
    """

    text: str
    position: int
    quoted: bool
    leading_wildcard: bool
    trailing_wildcard: bool


def parse_literal(written: str, position: int) -> Literal:
    """Return a value that is written with or without quotes.

    Raises:
        InvalidValueError: The value contains NUL or an unknown escape.
    """
    is_quoted = written[:1] in ("'", '"')
    characters = _CHARACTER.findall(written[1:-1]) if is_quoted else list(written)
    for character in characters:
        if len(character) > 1 and character not in _ESCAPES:
            raise InvalidValueError(
                f"{quoted(character)} is not an escape sequence; write a backslash as two backslashes"
            )
    if "\0" in written:
        raise InvalidValueError("the character NUL is not allowed")
    text = "".join(character[-1] for character in characters)
    return Literal(text, position, is_quoted, characters[:1] == ["*"], characters[-1:] == ["*"])


def convert(kind: Kind, text: str) -> Value:
    """Return the value of a kind, other than TIME, that a text denotes.

    Raises:
        InvalidValueError: The text does not denote a value of this kind.
    """
    return _CONVERSIONS[kind](text)


def quoted(text: str) -> str:
    """Return a text of the caller, quoted and shortened for an error message."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}...")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise InvalidValueError(f"{quoted(text)} is not a whole number of up to 64 bits")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise InvalidValueError(f"{quoted(text)} is not a finite number")
    return float(text)


def _identifier(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise InvalidValueError(f"{quoted(text)} is not a UUID in lower case with hyphens")
    return text


_CONVERSIONS: Mapping[Kind, Callable[[str], Value]] = {
    Kind.TEXT: str,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.IDENTIFIER: _identifier,
}
