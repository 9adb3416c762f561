"""Prepared reads by libpq itself, on connections that are lent by SQLAlchemy's pool and kept between reads.

By way of SQLAlchemy a point read takes five times the CPU in this process: its pool, its connection and cursor, a
greenlet, and that the event loop is asked to watch a socket anew for each answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import greenlet_spawn

from sprocket_grpc.storage.postgres.prepared import PreparedStatement

_CANCEL_SECONDS = 5
_NOT_PREPARED = "26000"
_PREPARED = "direct_reads"


class DirectReadError(Exception):
    """A read failed. SQLAlchemy is to do it again, and to find out what is wrong and which connections can be kept.

    Attributes:
        state: The SQLSTATE that PostgreSQL gave, if it did.
    """

    def __init__(self, state: str | None = None) -> None:
        super().__init__(state)
        self.state = state


class _DirectConnection:
    """A connection that nobody else uses, and whose socket the event loop watches all the time."""

    def __init__(self, lent: Connection, generation: int) -> None:
        self.generation = generation
        self.is_lost = False
        self._lent = lent
        self._driver = cast("psycopg.AsyncConnection[Any]", lent.connection.driver_connection)
        self._libpq = self._driver.pgconn
        self._socket = self._libpq.socket
        self._prepared: set[bytes] = lent.connection.info.setdefault(_PREPARED, set())
        self._transformer = Transformer(self._driver)
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] | None = None
        self._is_watched = True
        self._loop.add_reader(self._socket, self._take_in)

    async def rows(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows.

        Raises:
            DirectReadError: It did not work. The connection is not to be used any more.
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
        """Let PostgreSQL stop what it is doing here. What it says of that is left unread."""
        self._unwatch()
        with suppress(psycopg.Error):  # then it is gone anyway
            await self._driver.cancel_safe(timeout=_CANCEL_SECONDS)

    def give_back(self, *, is_spoilt: bool = False) -> None:
        """Give the connection back to the pool, or have it closed; in a greenlet."""
        self._unwatch()
        if is_spoilt or self.is_lost:
            self._lent.invalidate()
        self._lent.close()

    async def _result(self, expected: ExecStatus) -> PGresult:
        """Wait for the answer to what has just been sent, to its end."""
        if self._libpq.flush():
            raise DirectReadError  # nobody takes it, or it is longer than a read can be
        last: PGresult | None = None
        while True:
            while self._libpq.is_busy():
                self._arrived = self._loop.create_future()
                await self._arrived
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

    def _take_in(self) -> None:
        """Take in what has arrived: an answer, or that the other side has gone."""
        try:
            self._libpq.consume_input()
        except psycopg.OperationalError:
            self.is_lost = True
            self._unwatch()
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)

    def _unwatch(self) -> None:
        """Watch the socket no more; once, for libpq closes one that is lost, and another connection gets its number."""
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)


class DirectReads:
    """The connections of an engine that are kept for prepared reads. They count as lent in its pool."""

    def __init__(self, engine: Engine, connect: Callable[[], Connection]) -> None:
        """Keep none yet.

        Args:
            engine: The engine.
            connect: Makes a connection of its pool, in a greenlet.
        """
        self._engine = engine
        self._connect = connect
        self._idle: list[_DirectConnection] = []
        self._generation = 0
        self._is_closed = False
        event.listen(engine, "invalidate", self._note_invalid)

    @property
    def idle(self) -> int:
        """How many connections are kept that nobody uses now."""
        return len(self._idle)

    async def rows(self, statement: PreparedStatement, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows of a prepared read.

        Raises:
            DirectReadError: It did not work.
            Exception: Whatever `connect` raises.
        """
        connection = await self._take()
        try:
            rows = await connection.rows(statement, parameters)
        except DirectReadError:
            await greenlet_spawn(connection.give_back, is_spoilt=True)
            raise
        except BaseException:  # it was cut off in the middle
            try:
                await connection.cancel()
            finally:
                await greenlet_spawn(connection.give_back, is_spoilt=True)
            raise
        if self._is_closed:
            await greenlet_spawn(connection.give_back, is_spoilt=True)  # its pool has been disposed of
        else:
            self._idle.append(connection)
        return rows

    def make_room(self) -> None:
        """Give one back if the pool has lent all, for somebody who is entitled to one; in a greenlet."""
        pool: Any = self._engine.pool  # a QueuePool
        if self._idle and pool.checkedout() >= pool.size():
            self._idle.pop(0).give_back()

    async def close(self) -> None:
        """Give all back, those that are in use now as soon as they are not."""
        self._is_closed = True
        while self._idle:
            await greenlet_spawn(self._idle.pop().give_back)

    async def _take(self) -> _DirectConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.generation == self._generation and not connection.is_lost:
                return connection
            await greenlet_spawn(connection.give_back)
        # That of now: if another is found to lead nowhere meanwhile, so may this one.
        generation = self._generation
        return _DirectConnection(await greenlet_spawn(self._connect), generation)

    def _note_invalid(self, _connection: object, _record: object, error: BaseException | None) -> None:
        """Give back all when one was found to lead nowhere: the pool knows then which others do."""
        if error is not None:
            self._generation += 1
