"""A connection as stores see it: statements in a plain function, which share round trips where they can.

A statement is sent when its result is looked at, together with all that were executed before it; what nobody looks at
goes with the next one, or with the commit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from psycopg.errors import InFailedSqlTransaction
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Executable, select, text
from sqlalchemy.util import await_only

from sprocket_grpc.storage.postgres.answers import raise_if_failed, state_of
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER
from sprocket_grpc.storage.postgres.conversation import Conversation
from sprocket_grpc.storage.postgres.errors import error_name
from sprocket_grpc.storage.postgres.session import ISOLATION_LEVEL
from sprocket_grpc.storage.postgres.statements import Parameters, Request, Statement, request

Rows: TypeAlias = Sequence[tuple[Any, ...]]

Recorder: TypeAlias = Callable[[Statement, float, str | None], None]
"""Records a statement: the time until its result was there, in seconds, and its SQLSTATE or the name of its error."""

_BEGIN = request(Statement(text(f"BEGIN ISOLATION LEVEL {ISOLATION_LEVEL}")))
_SET_CALLER = Statement(select(SET_CALLER))
_COMMIT = request(Statement(text("COMMIT")))
_ROLLBACK = request(Statement(text("ROLLBACK")))
_NOT_RECORDED = {_BEGIN.statement, _SET_CALLER, _ROLLBACK.statement}


class Result:
    """The result of a statement, which may still have to be sent."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._answer: PGresult | None = None
        self._rows: Rows | None = None

    def all(self) -> Rows:
        """Return all rows."""
        if self._rows is None:
            self._rows = self._connection.rows(self._answered)
        return self._rows

    def first(self) -> tuple[Any, ...] | None:
        """Return the first row, if there is one."""
        rows = self.all()
        return rows[0] if rows else None

    def one(self) -> tuple[Any, ...]:
        """Return the only row."""
        [row] = self.all()
        return row

    def scalars(self) -> list[Any]:
        """Return the first column."""
        return [row[0] for row in self.all()]

    def scalar(self) -> Any:  # noqa: ANN401  # as the column has it
        """Return the first column of the first row, or None without a row."""
        row = self.first()
        return row[0] if row else None

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement returned or changed."""
        return self._answered.command_tuples or 0

    @property
    def command(self) -> bytes | None:
        """What PostgreSQL did, such as COMMIT."""
        return self._answered.command_status

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.all())

    @property
    def _answered(self) -> PGresult:
        if self._answer is None:
            self._connection.flush()
        if self._answer is None:
            raise RuntimeError("an earlier statement failed, so this one has no result")
        return self._answer

    def answer(self, answer: PGresult) -> None:
        """Take the answer of PostgreSQL."""
        self._answer = answer


class Connection:
    """Executes statements for one unit of work, in a greenlet.

    Attributes:
        has_results: Whether a round trip has succeeded, whose results the unit may have used.
    """

    def __init__(self, conversation: Conversation, give_up_at: float, record: Recorder) -> None:
        """Use a connection.

        Args:
            conversation: The connection.
            give_up_at: Until when it waits for answers, by a monotonic clock.
            record: Records each statement.
        """
        self._conversation = conversation
        self._give_up_at = give_up_at
        self._record = record
        self._queue: list[tuple[Request, Result]] = []
        self.has_results = False

    def execute(self, statement: Executable | Statement, parameters: Parameters | None = None) -> Result:
        """Execute a statement, at the latest when its result is looked at."""
        return self._enqueue(request(statement, parameters))

    def scalars(self, statement: Executable | Statement, parameters: Parameters | None = None) -> list[Any]:
        """Execute a statement, and return its first column."""
        return self.execute(statement, parameters).scalars()

    def scalar(self, statement: Executable | Statement, parameters: Parameters | None = None) -> Any:  # noqa: ANN401  # as above
        """Execute a statement, and return the first column of its first row, or None."""
        return self.execute(statement, parameters).scalar()

    def begin(self, *, names_caller: bool) -> None:
        """Begin a transaction, perhaps in the name of the current caller."""
        self._enqueue(_BEGIN)
        if names_caller:
            self.execute(_SET_CALLER)

    def commit(self) -> None:
        """Send what was not sent yet, and commit the transaction.

        Raises:
            psycopg.Error: It was not committed, or a statement failed.
        """
        committed = self._enqueue(_COMMIT)
        self.flush()
        if committed.command != b"COMMIT":  # PostgreSQL rolls back where a statement has failed, and reports no error
            raise InFailedSqlTransaction("a statement of the transaction has failed")

    def rollback(self) -> None:
        """Send what was not sent yet, and roll the transaction back."""
        self._enqueue(_ROLLBACK)
        self.flush()

    def flush(self) -> None:
        """Send what was not sent yet, and wait for the answers.

        Raises:
            psycopg.Error: A statement failed. Those behind it were not run.
        """
        queue, self._queue = self._queue, []
        if queue:
            for (_, result), answer in zip(queue, self._ask([each for each, _ in queue]), strict=True):
                raise_if_failed(answer)
                result.answer(answer)
            self.has_results = True

    def rows(self, answer: PGresult) -> Rows:
        """Return the rows of an answer."""
        return [*self._conversation.rows(answer)]

    def _enqueue(self, asked: Request) -> Result:
        result = Result(self)
        self._queue.append((asked, result))
        return result

    def _ask(self, requests: list[Request]) -> list[PGresult]:
        began = time.perf_counter()
        try:
            answers = await_only(self._conversation.ask(requests, self._give_up_at - time.monotonic()))
        except BaseException as error:
            for asked in requests:
                self._note(asked.statement, time.perf_counter() - began, error_name(error))
            raise
        seconds = time.perf_counter() - began
        for asked, answer in zip(requests, answers, strict=True):
            if answer.status != ExecStatus.PIPELINE_ABORTED:
                self._note(asked.statement, seconds, state_of(answer))
        return answers

    def _note(self, statement: Statement, seconds: float, error: str | None) -> None:
        if statement not in _NOT_RECORDED:
            self._record(statement, seconds, error)
