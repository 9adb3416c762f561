"""Reads as values: a statement, its parameters, and what its rows mean. The caller decides where one runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Executable

from sprocket_grpc.storage.postgres.statements import Parameters, Statement

_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class Read(Generic[_T]):
    """A read of the database, which `Database.read`, a `ReadSession` or a connection of SQLAlchemy runs.

    Attributes:
        statement: What to execute; one that is compiled already takes less CPU than one that is built for each read.
        parameters: Its parameters.
        result: Turns all rows into the result, and raises what the read documents.
        is_expensive: Whether it may take long, and runs in the lane of expensive work.
    """

    statement: Statement | Executable
    parameters: Parameters
    result: Callable[[Sequence[tuple[Any, ...]]], _T]
    is_expensive: bool = False

    def then(self, convert: Callable[[_T], _U]) -> "Read[_U]":
        """Return the same read with a result that is converted."""
        return Read(
            self.statement, self.parameters, lambda rows: convert(self.result(rows)), is_expensive=self.is_expensive
        )

    def on(self, connection: Connection) -> _T:
        """Run it on a connection of SQLAlchemy."""
        statement = self.statement.source if isinstance(self.statement, Statement) else self.statement
        return self.result(connection.execute(statement, self.parameters).all())
