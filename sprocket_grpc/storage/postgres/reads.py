"""Reads as values: a statement, its parameters, and what its rows mean. The caller decides where one runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection, Select, TextClause
from sqlalchemy.dialects.postgresql.psycopg import dialect

from sprocket_grpc.storage.postgres.types import as_array

_T = TypeVar("_T")
_U = TypeVar("_U")

_Statement: TypeAlias = Select[Any] | TextClause

_numbers = count(1)


class PreparedStatement:
    """A statement that is compiled once: its columns need no conversion, its parameters are text, numbers and lists.

    Attributes:
        name: Its name on each connection that has prepared it.
        statement: The statement as SQLAlchemy has it.
        compiled: The statement compiled, by which metrics know it.
        text: The statement as PostgreSQL takes it.
    """

    def __init__(self, statement: _Statement) -> None:
        self.name = f"sprocket_{next(_numbers)}".encode()
        self.statement = statement
        self.compiled = statement.compile(dialect=dialect(paramstyle="numeric_dollar"))  # type: ignore[no-untyped-call]  # SQLAlchemy forgot it
        self.text = self.compiled.string.encode()
        self._order = self.compiled.positiontup or []

    def values(self, parameters: Mapping[str, object]) -> list[bytes]:
        """Return parameters in their order, in PostgreSQL's text format."""
        return [_as_text(parameters[name]).encode() for name in self._order]


@dataclass(frozen=True, slots=True)
class Read(Generic[_T]):
    """A read of the database, which `Database.read`, a `ReadSession` or a connection runs.

    Attributes:
        statement: What to execute; one that is prepared takes a fifth of the CPU.
        parameters: Its parameters.
        result: Turns all rows into the result, and raises what the read documents.
        is_expensive: Whether it may take long, and runs in the lane of expensive work.
    """

    statement: PreparedStatement | _Statement
    parameters: Mapping[str, object]
    result: Callable[[Sequence[tuple[Any, ...]]], _T]
    is_expensive: bool = False

    def then(self, convert: Callable[[_T], _U]) -> "Read[_U]":
        """Return the same read with a result that is converted."""
        return Read(
            self.statement, self.parameters, lambda rows: convert(self.result(rows)), is_expensive=self.is_expensive
        )

    def on(self, connection: Connection) -> _T:
        """Run it on a connection of SQLAlchemy."""
        return self.result(self.rows(connection))

    def rows(self, connection: Connection) -> Sequence[tuple[Any, ...]]:
        """Return its rows as a connection of SQLAlchemy reads them."""
        statement = self.statement.statement if isinstance(self.statement, PreparedStatement) else self.statement
        return connection.execute(statement, self.parameters).all()


def _as_text(value: object) -> str:
    return as_array([*map(str, value)]) if isinstance(value, list) else str(value)
