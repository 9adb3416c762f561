"""Prepared reads by libpq, on connections that are checked out of SQLAlchemy's pool and kept between reads.

Through SQLAlchemy a point read takes five times the CPU in this process: for its pool, its connection and cursor, a
greenlet, and a socket that the event loop registers again for each result.
"""

import asyncio
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import greenlet_spawn

from sprocket_grpc.storage.postgres.reads import PreparedStatement

_CANCEL_SECONDS = 5
_LOOK_AGAIN_SECONDS = 0.5
"""The interval at which a read looks at its socket itself: uvloop reports an error once, and then closes its watch."""

_LONGEST_SECONDS = 30
"""The most that a read takes: it reads a page or a chunk. Streams have no other limit."""

_NOT_PREPARED = "26000"
_PREPARED = "direct_reads"


class DirectReadTimeoutError(Exception):
    """PostgreSQL did not answer a read in time. A retry would take as long."""


class DirectReadError(Exception):
    """A read failed. The caller retries it by SQLAlchemy, which finds the cause and drops broken connections.

    Attributes:
        state: The SQLSTATE, if PostgreSQL sent one.
    """

    def __init__(self, state: str | None = None) -> None:
        super().__init__(state)
        self.state = state


class _DirectConnection:
    """A connection in exclusive use, whose socket stays registered with the event loop."""

    def __init__(self, checked_out: Connection, generation: int) -> None:
        self.generation = generation
        self.is_lost = False
        self._checked_out = checked_out
        self._driver = cast("psycopg.AsyncConnection[Any]", checked_out.connection.driver_connection)
        self._libpq = self._driver.pgconn
        self._socket = self._libpq.socket
        self._prepared: set[bytes] = checked_out.connection.info.setdefault(_PREPARED, set())
        self._transformer = Transformer(self._driver)
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] | None = None
        self._poll = select.poll()
        self._poll.register(self._socket, 0)  # errors and the end of the connection, which it always reports
        self._is_watched = True
        self._loop.add_reader(self._socket, self._receive)

    async def rows(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows.

        Raises:
            DirectReadError: It failed. The connection cannot be used any more.
            DirectReadTimeoutError: It took too long.
        """
        try:
            result = await self._execute_prepared(statement, parameters)
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)
        except psycopg.Error as error:
            raise DirectReadError from error

    async def _execute_prepared(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> PGresult:
        try:
            return await self._execute(statement, parameters)
        except DirectReadError as error:
            if error.state != _NOT_PREPARED:
                raise
            self._prepared.discard(statement.name)  # psycopg deallocates all when it rolls back
            return await self._execute(statement, parameters)

    async def _execute(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> PGresult:
        if statement.name not in self._prepared:
            self._libpq.send_prepare(statement.name, statement.text)
            await self._result(ExecStatus.COMMAND_OK)
            self._prepared.add(statement.name)
        self._libpq.send_query_prepared(statement.name, statement.values(parameters), result_format=Format.BINARY)
        return await self._result(ExecStatus.TUPLES_OK)

    async def cancel(self) -> None:
        """Cancel the running statement. Its result stays unread."""
        self._unwatch()
        with suppress(psycopg.Error):  # the connection is lost, and the statement with it
            await self._driver.cancel_safe(timeout=_CANCEL_SECONDS)

    def check_in(self, *, is_broken: bool = False) -> None:
        """Return the connection to the pool, or close it if it is broken; in a greenlet."""
        self._unwatch()
        if is_broken or self.is_lost:
            self._checked_out.invalidate()
        self._checked_out.close()

    async def _result(self, expected: ExecStatus) -> PGresult:
        """Wait for the complete result of the statement that was sent."""
        if self._libpq.flush():
            raise DirectReadError  # the socket takes no more: the server does not read, or the statement is too long
        give_up_at = self._loop.time() + _LONGEST_SECONDS
        last: PGresult | None = None
        while True:
            await self._until_answered(give_up_at)
            result = self._libpq.get_result()
            if result is None:
                break
            last = result
        if last is None:
            raise DirectReadError
        if last.status != expected:
            state = last.error_field(DiagnosticField.SQLSTATE)
            raise DirectReadError(state.decode() if state else None)
        return last

    async def _until_answered(self, give_up_at: float) -> None:
        """Wait until libpq has a result, or knows that none follows."""
        while self._libpq.is_busy():
            if self.is_lost:
                raise DirectReadError
            if self._loop.time() > give_up_at:
                raise DirectReadTimeoutError
            self._arrived = self._loop.create_future()
            looking = self._loop.call_later(_LOOK_AGAIN_SECONDS, self._look_again)
            try:
                await self._arrived
            finally:
                looking.cancel()
                self._arrived = None

    def _receive(self) -> None:
        """Read what has arrived: a result, or the end of the connection."""
        try:
            self._libpq.consume_input()
        except psycopg.OperationalError:
            self._lose()
        if self._arrived is None:  # no read waits, so no timer looks again
            self._look_again()
        elif not self._arrived.done():
            self._arrived.set_result(None)

    def _look_again(self) -> None:
        """Find out whether the connection has ended: then what is left to read of it is no whole result."""
        if not self.is_lost and self._poll.poll(0):
            self._lose()
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)

    def _lose(self) -> None:
        self.is_lost = True
        self._unwatch()
        self._libpq.finish()

    def _unwatch(self) -> None:
        """Unregister the socket, only once: libpq closes a lost one, and another connection may get its number."""
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)


class DirectReads:
    """The connections that are kept for prepared reads. The pool counts them as checked out."""

    def __init__(self, engine: Engine, connect: Callable[[], Connection]) -> None:
        """Start without connections.

        Args:
            engine: The engine.
            connect: Checks a connection out of its pool, in a greenlet.
        """
        self._engine = engine
        self._connect = connect
        self._idle: list[_DirectConnection] = []
        self._generation = 0
        self._is_closed = False
        event.listen(engine, "invalidate", self._note_invalid)

    @property
    def idle(self) -> int:
        """The number of kept connections that are not in use."""
        return len(self._idle)

    async def rows(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows of a prepared read.

        Raises:
            DirectReadError: It failed.
            DirectReadTimeoutError: It took too long.
            Exception: What `connect` raises.
        """
        connection = await self._take()
        try:
            rows = await connection.rows(statement, parameters)
        except DirectReadError:
            await greenlet_spawn(connection.check_in, is_broken=True)
            raise
        except BaseException:  # cancelled, or it took too long
            try:
                await connection.cancel()
            finally:
                await greenlet_spawn(connection.check_in, is_broken=True)
            raise
        if self._is_closed:
            await greenlet_spawn(connection.check_in, is_broken=True)  # its pool was disposed of
        else:
            self._idle.append(connection)
        return rows

    def make_room(self) -> None:
        """Return one to the pool if all are checked out, for a caller that holds a slot; in a greenlet."""
        pool: Any = self._engine.pool  # a QueuePool
        if self._idle and pool.checkedout() >= pool.size():
            self._idle.pop(0).check_in()

    async def close(self) -> None:
        """Return all to the pool; those in use follow when their reads end."""
        self._is_closed = True
        while self._idle:
            await greenlet_spawn(self._idle.pop().check_in)

    async def _take(self) -> _DirectConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.generation == self._generation and not connection.is_lost:
                return connection
            await greenlet_spawn(connection.check_in)
        # The generation before connecting: if a connection is invalidated meanwhile, this one may be broken too.
        generation = self._generation
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                return _DirectConnection(await greenlet_spawn(self._connect), generation)
        except TimeoutError as error:
            raise DirectReadTimeoutError from error

    def _note_invalid(self, _connection: object, _record: object, error: BaseException | None) -> None:
        """Start a new generation when a connection was broken: the pool checks the older ones again."""
        if error is not None:
            self._generation += 1
