"""What the faults happen to: a server, its PostgreSQL, and a proxy in front of each."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, LiteralString

import psycopg

from reliability.chaos.proxy import Proxy, proxy_to
from reliability.database import ROLE, Database, new_database
from reliability.server import PATIENCE_SECONDS, ServerProcess
from tests.support.postgresql import PostgresServer

_MAX_CONNECTIONS = 40
_MOST_WORKERS = 2
_START_SECONDS = 90  # longer than a port stays in TIME_WAIT
_RETRY_SECONDS = 10

# Short enough that a stop does not last, and drain time 0: nothing tells clients in advance that the server stops.
_SETTINGS = {
    "drain_seconds": "0",
    "shutdown_grace_seconds": "5",
    "health_interval_seconds": "1",
    "log_level": "WARNING",
}


@dataclass
class World:
    """The service under test.

    Attributes:
        database: Its database.
        database_proxy: The proxy between the server and PostgreSQL.
        server: The server.
        server_proxy: The proxy between the clients and the server.
        draw: The source of all that faults draw.
        factory_ids: The factories that are written to; the first is the hottest.
        problems: What a fault met that must not be.
    """

    database: Database
    database_proxy: Proxy
    server: ServerProcess
    server_proxy: Proxy
    draw: Random = field(default_factory=Random)
    factory_ids: list[str] = field(default_factory=list)
    problems: set[str] = field(default_factory=set)

    @property
    def postgres(self) -> PostgresServer:
        """The PostgreSQL server."""
        return self.database.postgres

    @property
    def address(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.server_proxy.port}"

    async def connect(self, role: str = "postgres") -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """Connect to the database as the superuser or another role, not through the proxy."""
        return await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=self.postgres.port, user=role, dbname=ROLE, autocommit=True
        )

    async def query(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, and return its rows."""
        async with await self.connect() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def start_server(self) -> None:
        """Start the server with one worker or two. It is a problem if it does not start at the first try."""
        workers, deadline = self.draw.randint(1, _MOST_WORKERS), time.monotonic() + _START_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self.server.start, workers)
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise
                self.problems.add(f"with {workers} workers: {error}")
                await asyncio.sleep(_RETRY_SECONDS)

    async def backends(self) -> list[int]:
        """Return the process ids of the backends of the service."""
        return [pid for (pid,) in await self.query("SELECT pid FROM pg_stat_activity WHERE usename = %s", ROLE)]

    async def end_postgres(self, number: signal.Signals) -> None:
        """Send a signal to the first process of PostgreSQL, and wait for its end."""
        self.database.postmaster.send_signal(number)
        await asyncio.to_thread(self.database.postmaster.wait, PATIENCE_SECONDS)

    async def start_postgres(self) -> None:
        """Start PostgreSQL, which is possible once the processes of the last one have ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self.postgres.start)
            except AssertionError:  # it ended: others still use its shared memory
                if time.monotonic() > deadline:
                    raise


@contextmanager
def paused(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes with SIGSTOP, and let them continue when the block ends."""
    pids = list(pids)
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@asynccontextmanager
async def new_world(log: Path) -> AsyncIterator[World]:
    """Run a PostgreSQL and a server, which logs to `log`, until the block ends."""
    async with AsyncExitStack() as until_the_end:
        database = until_the_end.enter_context(new_database(_MAX_CONNECTIONS))
        database_proxy = await until_the_end.enter_async_context(proxy_to(database.postgres.port))
        server = ServerProcess(_SETTINGS | {"database_url": database.url_on(database_proxy.port)}, log)
        until_the_end.callback(server.kill)
        server_proxy = await until_the_end.enter_async_context(proxy_to(server.port))
        world = World(database, database_proxy, server, server_proxy)
        await world.start_server()
        yield world
