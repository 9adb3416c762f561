"""Calls of a database that are planned, and what is known of their numbers when they have ended."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from psycopg.errors import DivisionByZero
from sqlalchemy import text

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres.connection import Connection, Result
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Parameters, Statement

_MANY = 1_000_000
_LARGE = "x" * 4_000_000
"""More than what the buffers of a socket hold."""


class Kind(Enum):
    """What a statement does. Each that works answers with its number."""

    ECHO = "SELECT CAST(:number AS bigint) /* {} */"
    INSERT = "INSERT INTO written VALUES (CAST(:number AS bigint)) RETURNING number"
    LARGE_ANSWER = f"SELECT CAST(:number AS bigint), repeat('x', {_MANY})"  # our own number
    LARGE_PARAMETER = "SELECT CAST(:number AS bigint), CAST(:text AS text) LIKE 'x%'"
    SLEEP = "SELECT CAST(:number AS bigint) FROM (SELECT pg_sleep(0.02)) AS slept"
    FAIL = "SELECT CAST(:number AS bigint) / 0"
    MISSING = "SELECT CAST(:number AS bigint) FROM missing"


_ONE = {kind: Statement(text(kind.value)) for kind in Kind if kind is not Kind.ECHO}
_ECHOES = [Statement(text(Kind.ECHO.value.format(shape))) for shape in range(3)]

ERRORS: dict[Kind, type[Exception]] = {Kind.FAIL: DivisionByZero, Kind.MISSING: UnavailableError}


class Way(Enum):
    """A way to use a database."""

    READ = auto()
    RUN = auto()
    TRANSACTION = auto()
    DRY = auto()


class Step(NamedTuple):
    """A statement of a call.

    Attributes:
        kind: What it does.
        shape: Which of the statements of this kind it is, if there are several.
        looks: Whether its result is looked at before the next one.
    """

    kind: Kind
    shape: int
    looks: bool


class Plan(NamedTuple):
    """What a call does.

    Attributes:
        way: How it uses the database.
        steps: Its statements; a read has only the first one, and does not insert.
        raises: Whether it raises an error behind them.
    """

    way: Way
    steps: list[Step]
    raises: bool = False

    @property
    def error(self) -> type[Exception] | None:
        """The error that it ends with, if nothing disturbs it."""
        if self.way is Way.READ:
            return ERRORS.get(self.steps[0].kind)
        failed: type[Exception] | None = None
        for step in self.steps:
            failed = failed or ERRORS.get(step.kind)
            if failed and step.looks:
                return failed
        return RaisedError if self.raises else failed


class RaisedError(Exception):
    """A call has ended itself."""


@dataclass(eq=False)
class Call:
    """A call that runs.

    Attributes:
        plan: What it does.
        first: The number of its first statement; those of the others follow.
        is_disturbed: Whether it may end without its result.
        task: It.
        error: What it ended with, if anything.
        text: The error as text.
        known: The numbers that were acknowledged one by one, without a transaction.
        sent: The numbers that were inserted.
        is_decided: Whether all that is left to do is to end the transaction.
    """

    plan: Plan
    first: int
    is_disturbed: bool
    task: "asyncio.Task[None]" = field(init=False)
    error: type[BaseException] | None = None
    text: str = ""
    known: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    is_decided: bool = False

    def start(self, database: Database) -> None:
        """Start it."""
        self.task = asyncio.create_task(self._end(database))

    def written(self) -> tuple[set[int], set[int]]:
        """Return the numbers that are written, and those that may be, after it has ended as it was planned to."""
        if self.is_disturbed and self.error in (asyncio.CancelledError, UnavailableError):
            return self.known, self._in_doubt()
        assert self.error is self.plan.error, f"{self.plan} ended with {self.text}"
        if self.error:
            return self.known, self.known
        done = set() if self.plan.way is Way.DRY else self.sent
        return done, done

    def _in_doubt(self) -> set[int]:
        if self.plan.way is Way.RUN or (self.plan.way is Way.TRANSACTION and self.is_decided):
            return self.sent
        return self.known

    async def _end(self, database: Database) -> None:
        """Run to its end, and keep no error: that has its connection."""
        try:
            await self._run(database)
        except BaseException as error:  # also when it is cancelled
            self.error, self.text = type(error), repr(error)

    async def _run(self, database: Database) -> None:
        match self.plan.way:
            case Way.READ:
                await self._read(database)
            case Way.RUN:
                _check_all(await database.run(self._work))
            case Way.TRANSACTION:
                _check_all(await database.run_in_transaction(self._work))
            case Way.DRY:
                _check_all(await database.run_dry(self._work))

    async def _read(self, database: Database) -> None:
        kind, shape, _ = self.plan.steps[0]
        kind = Kind.ECHO if kind is Kind.INSERT else kind
        row = await database.read(Read(_statement(kind, shape), _parameters(kind, self.first), lambda rows: rows[0]))
        _check(kind, row, self.first)

    def _work(self, connection: Connection) -> list[tuple[int, Result]]:
        results = []
        for number, (kind, shape, looks) in enumerate(self.plan.steps, self.first):
            result = connection.execute(_statement(kind, shape), _parameters(kind, number))
            results.append((number, result))
            if kind is Kind.INSERT:
                self.sent.add(number)
            if looks:
                _check(kind, result.one(), number)
                if self.plan.way is Way.RUN:
                    self.known |= self.sent
        if self.plan.raises:
            raise RaisedError
        self.is_decided = True
        return results


def _statement(kind: Kind, shape: int) -> Statement:
    return _ECHOES[shape] if kind is Kind.ECHO else _ONE[kind]


def _parameters(kind: Kind, number: int) -> Parameters:
    return {"number": number, "text": _LARGE} if kind is Kind.LARGE_PARAMETER else {"number": number}


def _check(kind: Kind, row: tuple[object, ...], number: int) -> None:
    more = {Kind.LARGE_ANSWER: ("x" * _MANY,), Kind.LARGE_PARAMETER: (True,)}
    assert row == (number, *more.get(kind, ()))


def _check_all(results: list[tuple[int, Result]]) -> None:
    """Check results whose connection another call may have by now."""
    for number, result in results:
        assert result._answer
        assert int.from_bytes(result._answer.get_value(0, 0) or b"") == number
