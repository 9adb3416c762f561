"""Reads that are made ready once, and whose parameters alone differ."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Select, TextClause
from sqlalchemy.dialects.postgresql.psycopg import dialect

from sprocket_grpc.storage.postgres.types import as_array

_P = ParamSpec("_P")
_T = TypeVar("_T")

_numbers = count(1)


class PreparedRead:
    """A SELECT whose columns need nothing done to them in Python, and whose parameters are text, numbers and lists.

    Attributes:
        name: What it is called where it is prepared.
        compiled: The statement, by which those who watch know it.
        text: The same as PostgreSQL takes it.
    """

    def __init__(self, statement: Select[Any] | TextClause) -> None:
        self.name = f"sprocket_{next(_numbers)}".encode()
        self._statement = statement
        self.compiled = statement.compile(dialect=dialect(paramstyle="numeric_dollar"))  # type: ignore[no-untyped-call]  # SQLAlchemy forgot it
        self.text = self.compiled.string.encode()
        self._order = self.compiled.positiontup or []

    def values(self, parameters: Mapping[str, object]) -> list[bytes]:
        """Return parameters in their order, as PostgreSQL's text format has them."""
        return [_as_text(parameters[name]).encode() for name in self._order]

    def rows(self, connection: Connection, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows by SQLAlchemy."""
        return [tuple(row) for row in connection.execute(self._statement, parameters)]


def _as_text(value: object) -> str:
    return as_array([*map(str, value)]) if isinstance(value, list) else str(value)


class Reader(Protocol):
    """What a store reads from when it does not have a connection of its own."""

    async def rows(self, read: PreparedRead, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows of a prepared read."""

    async def run(self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work that only reads."""
