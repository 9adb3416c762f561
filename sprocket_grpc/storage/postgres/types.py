"""The types of columns and parameters.

Values leave the database in wire form (ids as text, times as integer microseconds), so that building a
message moves strings and integers only; a datetime turned into a Timestamp costs more than its query.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Dialect, Text, cast, func, literal_column
from sqlalchemy.types import UserDefinedType


def epoch_micros(instant: ColumnElement[Any]) -> ColumnElement[int]:
    """Convert a timestamp to microseconds since 1970: exact until 2242, and cheaper than numeric `extract`."""
    return cast(func.date_part(literal_column("'epoch'"), instant) * literal_column("1000000"), BigInteger)


class Identifier(UserDefinedType[str]):
    """A UUID that is read as canonical lower-case text."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        """Return the name of the type in PostgreSQL."""
        return "UUID"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read as text."""
        return cast(colexpr, Text)


class ArrayOf(UserDefinedType[Sequence[str]]):
    """The type of a parameter that is an array of texts or UUIDs, written in a tenth of the driver's time."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, kind: Literal["TEXT", "UUID"]) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        """Return the name of the type in PostgreSQL."""
        return f"{self.kind}[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:  # noqa: ARG002  # SQLAlchemy's
        """Return the function that writes the array."""
        return as_array


def as_array(values: Sequence[str]) -> str:
    """Write an array, each value in quotes (PostgreSQL manual, 8.15.6). NUL separates them: no value contains it."""
    if not values:
        return "{}"
    escaped = "\0".join(values).replace("\\", r"\\").replace('"', r"\"")
    return '{"' + escaped.replace("\0", '","') + '"}'


class Instant(UserDefinedType[int]):
    """A time with zone that is read as microseconds since 1970. Only PostgreSQL writes it."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the name of the type in PostgreSQL."""
        return "TIMESTAMP WITH TIME ZONE"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read as an integer."""
        return epoch_micros(colexpr)


IDENTIFIERS = ArrayOf("UUID")
"""The type of a parameter that is an array of ids."""
