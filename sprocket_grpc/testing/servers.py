"""Servers for tests: one after the other, in this process, in a thread with its own event loop."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import ServerDependencies, dependencies_on
from sprocket_grpc.server.grpc_server import create_server
from sprocket_grpc.server.run import wait_for_cancelled_calls
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.testing.postgres import migrated_database
from sprocket_grpc.testing.states import States

_T = TypeVar("_T")

# Independent of the environment. Charts are polled more often than in production, because tests wait for entries.
_SETTINGS = Settings.model_construct(listen="127.0.0.1:0", follow_tick_seconds=0.02)


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sprocket-server", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the thread, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Servers:
    """Servers for consecutive tests, on one database and its connection pool.

    Every test gets a new server on a new port, so that calls left over from one test do not reach the next server.
    """

    def __init__(self, loop: _Loop, database: Database, states: States) -> None:
        self._loop = loop
        self._database = database
        self._states = states

    @contextmanager
    def serve(self, *, seeded: bool) -> Iterator[str]:
        """Run a server, empty or with the sample data, and yield its address until the block ends."""
        self._states.restore(seeded=seeded)
        running = _running_on(self._database)
        address = self._loop.run(running.__aenter__())  # entered and left in the thread of the loop
        try:
            yield address
        finally:
            self._loop.run(running.__aexit__(None, None, None))
            self._loop.run(wait_for_cancelled_calls())  # else they could write into the database of the next test


@asynccontextmanager
async def running_server(dependencies: ServerDependencies) -> AsyncIterator[str]:
    """Run a server in the running event loop, yield its address, and cancel its calls when the block ends.

    Args:
        dependencies: The dependencies of the server. Its settings must name a free port, or port 0.
    """
    listener = create_server(dependencies)
    await dependencies.monitor.check()
    await listener.server.start()
    try:
        yield f"127.0.0.1:{listener.port}"
    finally:
        dependencies.chart_poller.stop()
        await listener.server.stop(grace=None)


@asynccontextmanager
async def _running_on(database: Database) -> AsyncIterator[str]:
    async with dependencies_on(_SETTINGS, database, database) as dependencies, running_server(dependencies) as address:
        yield address


@contextmanager
def servers_on(postgres: str) -> Iterator[Servers]:
    """Create a database and an event loop for servers, until the block ends.

    Args:
        postgres: The URL of a PostgreSQL for its superuser.
    """
    with migrated_database(postgres) as url, _ignored_errors_of_closed_loops():
        loop = _Loop()
        database = Database(url)
        try:
            yield Servers(loop, database, States(url))
        finally:
            loop.run(database.close())
            loop.stop()


@contextmanager
def _ignored_errors_of_closed_loops() -> Iterator[None]:
    """Filter out an error of asyncio that does not matter.

    gRPC has one event queue for all event loops of a process. If a call is still open when the loop of its test is
    closed, another loop receives the event of its end and cannot deliver it, which asyncio logs as an error.
    """
    log = logging.getLogger("asyncio")
    log.addFilter(_is_relevant)
    try:
        yield
    finally:
        log.removeFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and "PollerCompletionQueue" in record.getMessage())
