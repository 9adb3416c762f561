"""Reads values: the text that stands in quotes, and what a text means to a field of some kind."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sprocket_grpc.query.expression import Value
from sprocket_grpc.query.kinds import Kind

_SHOWN_CHARACTERS = 64

_CHARACTER = re.compile(r"\\[\s\S]|[^\\]")
_ESCAPES = {f"\\{character}" for character in "\"'\\*"}

_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
# What a digit after the sixth says would be lost, so it has to be 0.
_TIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}:[0-5][0-9](\.[0-9]{{1,6}}0*)?(Z|[+-]{_CLOCK})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_TIME = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LAST_TIME = datetime.max.replace(tzinfo=UTC) - _EPOCH


class WrongValueError(Exception):
    """A value is not one, and the text says why."""


@dataclass(frozen=True)
class Literal:
    """A value as it was written, without its quotes and escapes.

    Attributes:
        text: The value.
        position: Where it begins in the filter, counted from 0.
        quoted: Whether it stood in quotes.
        leading_wildcard: Whether it begins with a `*` that is not escaped.
        trailing_wildcard: Whether it ends with one.
    """

    text: str
    position: int
    quoted: bool
    leading_wildcard: bool
    trailing_wildcard: bool


def read_literal(written: str, position: int) -> Literal:
    """Read a value, in quotes or without.

    Raises:
        WrongValueError: It has NUL in it, or an escape that there is not.
    """
    quoted = written[:1] in ("'", '"')
    characters = _CHARACTER.findall(written[1:-1]) if quoted else list(written)
    for character in characters:
        if len(character) > 1 and character not in _ESCAPES:
            raise WrongValueError(f"{shown(character)} is no escape; a backslash is written twice")
    if "\0" in written:
        raise WrongValueError("the character NUL is not allowed")
    text = "".join(character[-1] for character in characters)
    return Literal(text, position, quoted, characters[:1] == ["*"], characters[-1:] == ["*"])


def convert(kind: Kind, text: str) -> Value:
    """Turn a text into a value of a kind.

    Raises:
        WrongValueError: It is none of that kind.
    """
    return _CONVERSIONS[kind](text)


def shown(text: str) -> str:
    """Show a text of the caller's within a message."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}...")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise WrongValueError(f"{shown(text)} is not a whole number of up to 64 bits")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise WrongValueError(f"{shown(text)} is not a finite number")
    return float(text)


def _time(text: str) -> int:
    since_epoch = _since_epoch(text.upper())
    if since_epoch is None or not _FIRST_TIME <= since_epoch <= _LAST_TIME:
        expected = "with an offset, at most to the microsecond, in the years 1 to 9999"
        raise WrongValueError(f"{shown(text)} is not a time as in RFC 3339 {expected}")
    return since_epoch // timedelta(microseconds=1)


def _since_epoch(text: str) -> timedelta | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text) - _EPOCH
    except ValueError:  # there is no such day
        return None


def _identifier(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise WrongValueError(f"{shown(text)} is not a UUID in lower case with hyphens")
    return text


_CONVERSIONS: Mapping[Kind, Callable[[str], Value]] = {
    Kind.TEXT: str,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.TIME: _time,
    Kind.IDENTIFIER: _identifier,
}
