"""The connection pool of a server, and how reads and units of work run on it.

A unit of work is a plain function over a connection. It runs as a whole in one greenlet, which costs half of what
awaiting each statement does, and the store stays ordinary synchronous SQLAlchemy.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from psycopg import waiting
from sqlalchemy import Connection, Engine, RootTransaction, event, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from sprocket_grpc.config.database_url import connect_arguments, describe
from sprocket_grpc.errors import DeadlineExceededError, UnavailableError
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER
from sprocket_grpc.storage.postgres.connector import Connector, drop_if_not_primary
from sprocket_grpc.storage.postgres.direct import DirectReadError, DirectReads, DirectReadTimeoutError
from sprocket_grpc.storage.postgres.engine import cursors
from sprocket_grpc.storage.postgres.error_texts import hide_values
from sprocket_grpc.storage.postgres.errors import error_for_sqlstate, error_name, translated_errors
from sprocket_grpc.storage.postgres.lane import Lane, LaneLimits
from sprocket_grpc.storage.postgres.reads import PreparedStatement, Read
from sprocket_grpc.storage.postgres.session import CONNECT_ARGUMENTS, ISOLATION_LEVEL, session_setup

__all__ = ["Connection", "Database", "disable_psycopg_yields"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_SET_CALLER = select(SET_CALLER)

_LONGEST_SECONDS = 600
"""The most that a unit of work takes, if nothing else limits it: calls have a timeout, streams and tasks may not."""


class Database:
    """A connection pool, and the ways to use it: a read, a single statement, a transaction, a dry run.

    Attributes:
        pending: The number of units of work that wait for a connection.
        timeouts: The number of units of work whose wait timed out.
        lane: The lane of expensive work, for writes; reads say themselves whether they belong there.
        reads_directly: Whether prepared reads bypass SQLAlchemy, and so the events of `engine`.
        on_wait: Called with the time of each wait, in seconds.
        on_commit: Called with the time of each commit, in seconds, and its SQLSTATE or the name of its error, or None.
        on_direct_read: Called after each prepared read that bypassed SQLAlchemy: its statement, its time, in seconds,
            and its SQLSTATE or the name of its error, or None.

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
        # In autocommit a single statement is one round trip instead of three, and leaves no state to reset.
        self._name = describe(url)
        self._engine = create_async_engine(
            url,
            connect_args=connect_arguments(url) | CONNECT_ARGUMENTS | cursors(prepared_statements=prepared_statements),
            hide_parameters=True,  # the log never contains what callers send
            isolation_level="AUTOCOMMIT",
            max_overflow=0,
            pool_reset_on_return=None,
            pool_size=pool_size,
            skip_autocommit_rollback=True,
        )
        self._autocommit = self._engine.sync_engine
        self._direct = DirectReads(self._autocommit, self._connect_to_read)
        self.reads_directly = prepared_statements
        self._transactional = self._autocommit.execution_options(isolation_level=ISOLATION_LEVEL)
        self._connector = Connector()
        event.listen(self._autocommit, "do_connect", self._connector)
        event.listen(self._autocommit, "connect", session_setup())
        event.listen(self._autocommit, "handle_error", drop_if_not_primary)
        event.listen(self._autocommit, "handle_error", hide_values)
        # Callers wait here for a connection, not in the pool: the pool wakes them when a connection is returned, but
        # not when opening one fails.
        self._free = asyncio.Semaphore(pool_size)
        self._pool_timeout_seconds = pool_timeout_seconds
        self.lane = Lane(lane or LaneLimits(max(1, pool_size * 3 // 4)))
        self.pending = 0
        self.timeouts = 0
        self.on_wait: Callable[[float], None] = lambda _: None
        self.on_commit: Callable[[float, str | None], None] = lambda *_: None
        self.on_direct_read: Callable[[PreparedStatement, float, str | None], None] = lambda *_: None

    def __str__(self) -> str:
        return self._name

    async def run(self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work of a single statement, or of reads that need no common snapshot."""

        def unit() -> _T:
            with translated_errors(), self._connect(self._autocommit) as connection:
                return work(connection, *args, **kwargs)

        return await self._run_when_free(unit)

    async def run_in_transaction(
        self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work in a transaction, in the name of the current caller."""

        def unit() -> _T:
            with (
                translated_errors(),
                self._connect(self._transactional) as connection,
                connection.begin() as transaction,
            ):
                connection.execute(_SET_CALLER)
                result = work(connection, *args, **kwargs)
                self._commit(transaction)
                return result

        return await self._run_when_free(unit)

    async def run_dry(
        self, work: Callable[Concatenate[Connection, _P], _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work in a transaction that is rolled back."""

        def unit() -> _T:
            with (
                translated_errors(),
                self._connect(self._transactional) as connection,
                connection.begin() as transaction,
            ):
                result = work(connection, *args, **kwargs)
                transaction.rollback()
                return result

        return await self._run_when_free(unit)

    async def read(self, read: Read[_T]) -> _T:
        """Run a read, one that is expensive in the lane of these.

        Raises:
            Exception: What the read documents.
            ExpensiveCallLimitError: The turn of the caller in the lane did not come in time.
        """
        if read.is_expensive:
            async with self.lane.enter():
                return await self._read(read)
        return await self._read(read)

    async def _read(self, read: Read[_T]) -> _T:
        if self.reads_directly and isinstance(read.statement, PreparedStatement):
            rows = await self._rows_of_prepared(read.statement, read)
        else:
            rows = await self.run(read.rows)
        return read.result(rows)

    async def _rows_of_prepared(self, statement: PreparedStatement, read: Read[Any]) -> Sequence[tuple[Any, ...]]:
        """Read all rows past SQLAlchemy, for a fifth of its CPU; where that fails, by SQLAlchemy."""
        await self._take_slot()
        try:
            return await self._read_directly(statement, read.parameters)
        except DirectReadError:
            pass
        finally:
            self._free.release()
        return await self.run(read.rows)

    async def _read_directly(
        self, statement: PreparedStatement, parameters: Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        began = time.perf_counter()
        try:
            rows = await self._direct.rows(statement, parameters)
        except asyncio.CancelledError as error:
            self.on_direct_read(statement, time.perf_counter() - began, type(error).__name__)
            raise
        except DirectReadTimeoutError as error:
            self.on_direct_read(statement, time.perf_counter() - began, type(error).__name__)
            _log.warning("UnavailableError: PostgreSQL did not answer a read")
            raise UnavailableError from error
        except DirectReadError as error:
            if error.state is None or error_for_sqlstate(error.state) is not DeadlineExceededError:
                raise
            self.on_direct_read(statement, time.perf_counter() - began, error.state)
            _log.warning("DeadlineExceededError: PostgreSQL stopped a read")
            raise DeadlineExceededError from error  # a retry would take as long
        self.on_direct_read(statement, time.perf_counter() - began, None)
        return rows

    def _commit(self, transaction: RootTransaction) -> None:
        began = time.perf_counter()
        try:
            transaction.commit()
        except BaseException as error:
            self.on_commit(time.perf_counter() - began, error_name(error))
            raise
        self.on_commit(time.perf_counter() - began, None)

    def _connect_to_read(self) -> Connection:
        with translated_errors():
            return self._autocommit.connect()

    def _connect(self, engine: Engine) -> Connection:
        self._direct.make_room()
        return engine.connect()

    async def _run_when_free(self, unit: Callable[[], _T]) -> _T:
        await self._take_slot()
        limit = asyncio.timeout(_LONGEST_SECONDS)
        try:
            async with limit:
                return await greenlet_spawn(unit)
        except TimeoutError:
            if not limit.expired():
                raise
            _log.warning("UnavailableError: PostgreSQL did not answer within %g s", _LONGEST_SECONDS)
            raise UnavailableError from None
        finally:
            self._free.release()

    async def _take_slot(self) -> None:
        if self._free.locked():
            await self._wait_until_free()
        else:
            await self._free.acquire()

    async def _wait_until_free(self) -> None:
        began, clock = time.monotonic(), asyncio.get_running_loop().time
        asked = clock()  # by the clock of the timeout, which under uvloop may be some milliseconds behind
        self.pending += 1
        try:
            async with asyncio.timeout(self._pool_timeout_seconds):
                await self._free.acquire()
        except TimeoutError:
            self.timeouts += 1
            _log.warning("UnavailableError: no connection became free within %g s", self._pool_timeout_seconds)
            raise UnavailableError from None
        finally:
            self.pending -= 1
            self.on_wait(clock() - asked)
        if self._connector.failed_at > began and not self.idle:
            self._free.release()
            raise UnavailableError  # only callers that arrive later retry

    @property
    def engine(self) -> Engine:
        """The engine, for listeners to its events: prepared reads have none while `reads_directly`."""
        return self._autocommit

    @property
    def size(self) -> int:
        """The size of the pool."""
        return self._pool.size()

    @property
    def used(self) -> int:
        """The number of connections in use."""
        return self._pool.checkedout() - self._direct.idle

    @property
    def idle(self) -> int:
        """The number of open connections that are not in use."""
        return self._pool.checkedin() + self._direct.idle

    @property
    def _pool(self) -> QueuePool:
        return cast("QueuePool", self._engine.pool)  # replaced when connections are dropped

    async def close(self) -> None:
        """Close all connections."""
        await self._direct.close()
        await self._engine.dispose()


def disable_psycopg_yields() -> None:
    """Stop psycopg from yielding to the event loop while it does not wait for PostgreSQL, in this whole process.

    It yields after 5 ms, also while SQLAlchemy checks a connection out or in: a call that is cancelled at that moment
    would leak the connection. Only a process that serves calls this; in others, such as tests of other projects,
    psycopg keeps its default.
    """
    waiting.MAX_BUSY_TIME = math.inf
