"""The ways to use a database: a read, a single statement, a transaction, a dry run.

Each is one or more rounds of requests on one connection of the pool (`conversation.py`). A unit of work is a plain
function over a `Connection`, which runs as a whole in one greenlet: that costs half of what awaiting each statement
does, and stores stay ordinary functions.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import text
from sqlalchemy.util import greenlet_spawn

from sprocket_grpc.config.database_url import describe
from sprocket_grpc.storage.postgres.answers import LostConnectionError, raise_if_failed
from sprocket_grpc.storage.postgres.connection import Connection, Recorder, Rows
from sprocket_grpc.storage.postgres.connector import Connector
from sprocket_grpc.storage.postgres.conversation import Conversation
from sprocket_grpc.storage.postgres.errors import error_name, is_of_statement, is_stale, translated_errors
from sprocket_grpc.storage.postgres.lane import Lane, LaneLimits
from sprocket_grpc.storage.postgres.pool import Pool
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Request, Statement, request

__all__ = ["Connection", "Database", "NotTogetherError"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_READ_SECONDS = 30
"""The most that a read takes: it reads a page or a chunk. Streams have no other limit."""

_UNIT_SECONDS = 600
"""The most that a unit of work takes, if nothing else limits it: calls have a timeout, streams and tasks may not."""

_LOCK_MILLISECONDS = 50
"""The most that work of several callers waits for a lock: a locked row of one shall not hold the others."""

_LIMIT_LOCK_WAIT = Statement(text(f"SELECT set_config('lock_timeout', '{_LOCK_MILLISECONDS}', true)"))

# Read only, and recovery in progress: a failover has replaced the primary (PostgreSQL manual, appendix A).
_NOT_PRIMARY = {"25006", "55000"}

# The types of columns have changed, on all connections (PostgreSQL manual, appendix A).
_OTHER_TYPES = "0A000"


class _NothingDoneError(Exception):
    """A unit of work failed before it saw a result, and may run again on another connection."""


class NotTogetherError(Exception):
    """What several callers wanted in one transaction failed for one of them. Nothing was done."""


class Database:
    """A pool of connections, and the ways to use it.

    Attributes:
        pool: The connections.
        lane: The lane of expensive work, for writes; reads say themselves whether they belong there.
        on_statement: Called after each statement.

    Raises (all ways):
        UnavailableError: The database is unavailable, or its schema is older than this version needs.
        AbortedError: The transaction conflicted with another one.
        DeadlineExceededError: PostgreSQL stopped a statement that ran for too long.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout_seconds: float = 5,
        prepared_statements: bool = True,
        lane: LaneLimits | None = None,
    ) -> None:
        self._name = describe(url)
        self.pool = Pool(Connector(url, prepares=prepared_statements), pool_size, pool_timeout_seconds)
        self.lane = Lane(lane or LaneLimits(max(1, pool_size * 3 // 4)))
        self.on_statement: Recorder = lambda *_: None

    def __str__(self) -> str:
        return self._name

    async def run(self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work of a single statement, or of reads that need no common snapshot."""

        def unit(connection: Connection) -> _T:
            result = work(connection, *args, **kwargs)
            connection.flush()
            return result

        return await self._run(unit)

    async def run_in_transaction(
        self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work in a transaction, in the name of the current caller."""

        def unit(connection: Connection) -> _T:
            connection.begin(names_caller=True)
            result = work(connection, *args, **kwargs)
            connection.commit()
            return result

        return await self._run(unit)

    async def run_together(self, work: Callable[[Connection], _T], *, in_one_round: bool) -> _T:
        """Run work of several callers in a transaction, which waits only shortly for locks.

        Args:
            work: What to do.
            in_one_round: Whether it looks at no result: then all its statements are one round trip, and PostgreSQL
                makes them a transaction without BEGIN and COMMIT.

        Raises:
            NotTogetherError: It failed for some reason that only one of them may have.
        """

        def unit(connection: Connection) -> _T:
            if not in_one_round:
                connection.begin(names_caller=False)
            connection.execute(_LIMIT_LOCK_WAIT)
            try:
                result = work(connection)
                if in_one_round:
                    connection.flush()
                else:
                    connection.commit()
            except psycopg.Error as error:
                if is_of_statement(error):
                    raise NotTogetherError from error
                raise
            return result

        return await self._run(unit)

    async def run_dry(
        self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work in a transaction that is rolled back."""

        def unit(connection: Connection) -> _T:
            connection.begin(names_caller=False)
            result = work(connection, *args, **kwargs)
            connection.rollback()
            return result

        return await self._run(unit)

    async def read(self, read: Read[_T]) -> _T:
        """Run a read, one that is expensive in the lane of these.

        Raises:
            Exception: What the read documents.
            ExpensiveCallLimitError: The turn of the caller in the lane did not come in time.
        """
        asked = request(read.statement, read.parameters)
        if read.is_expensive:
            async with self.lane.enter():
                return read.result(await self._rows(asked))
        return read.result(await self._rows(asked))

    async def close(self) -> None:
        """Close all connections."""
        await self.pool.close()

    async def _rows(self, asked: Request) -> Rows:
        """Read all rows, on another connection if the first one was lost."""
        with translated_errors():
            try:
                return await self._rows_once(asked)
            except psycopg.Error as error:
                if not isinstance(error, LostConnectionError) and not is_stale(error):
                    raise
            return await self._rows_once(asked)

    async def _rows_once(self, asked: Request) -> Rows:
        conversation = await self.pool.take()
        began, error = time.perf_counter(), None
        try:
            [answer] = await conversation.ask([asked], _READ_SECONDS)
            raise_if_failed(answer)
            return conversation.rows(answer)
        except BaseException as failure:
            error = error_name(failure)
            self._note(failure, conversation)
            raise
        finally:
            self.pool.give_back(conversation)
            self.on_statement(asked.statement, time.perf_counter() - began, error)

    async def _run(self, unit: Callable[[Connection], _T]) -> _T:
        """Run a unit of work, and once more if it failed before it saw a result, for a statement that was stale."""
        with translated_errors():
            with suppress(_NothingDoneError):
                return await self._run_once(unit, may_repeat=True)
            return await self._run_once(unit, may_repeat=False)

    async def _run_once(self, unit: Callable[[Connection], _T], *, may_repeat: bool) -> _T:
        conversation = await self.pool.take()
        give_up_at = time.monotonic() + _UNIT_SECONDS  # it waits for answers only
        connection = Connection(conversation, give_up_at, self.on_statement)
        try:
            return await greenlet_spawn(unit, connection)
        except psycopg.Error as failure:
            self._note(failure, conversation)
            if may_repeat and is_stale(failure) and not connection.has_results:
                raise _NothingDoneError from failure
            raise
        finally:
            self.pool.give_back(conversation)

    def _note(self, failure: BaseException, conversation: Conversation) -> None:
        """Draw the conclusions of an error for connections."""
        state = getattr(failure, "sqlstate", None)
        if state in _NOT_PRIMARY or state == _OTHER_TYPES:
            self.pool.renew()  # new connections find the new primary, and the new types
        elif isinstance(failure, psycopg.Error) and is_stale(failure):
            conversation.generation = None  # closed when it is given back
