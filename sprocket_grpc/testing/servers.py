"""One server after the other, in this process and beside the tests: in a thread with an event loop of its own."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import dependencies_on
from sprocket_grpc.server.run import cut_off_calls_end
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.testing.postgres import migrated_database
from sprocket_grpc.testing.server import running_server
from sprocket_grpc.testing.states import States

_T = TypeVar("_T")

# Whatever the environment says. Followers hear of new entries sooner than in production, for tests wait for them.
_SETTINGS = Settings.model_construct(listen="127.0.0.1:0", follow_tick_seconds=0.02)


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sprocket-server", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        """Stop it for good."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Servers:
    """Servers for tests that run one after the other, on one database and its pool of connections.

    Each is a new one, on a port of its own: what a test has left behind does not reach the server of the next.
    """

    def __init__(self, loop: _Loop, database: Database, states: States) -> None:
        self._loop = loop
        self._database = database
        self._states = states

    @contextmanager
    def serve(self, *, seeded: bool) -> Iterator[str]:
        """Run a server until the block ends, empty or with the sample data, and yield its address."""
        self._states.restore(seeded=seeded)
        running = _running_on(self._database)
        address = self._loop.run(running.__aenter__())  # a block of here is entered and left over there
        try:
            yield address
        finally:
            self._loop.run(running.__aexit__(None, None, None))
            self._loop.run(cut_off_calls_end())  # or the last of them would write into what the next test finds


@asynccontextmanager
async def _running_on(database: Database) -> AsyncIterator[str]:
    async with dependencies_on(_SETTINGS, database, database) as dependencies, running_server(dependencies) as address:
        yield address


@contextmanager
def servers_on(postgres: str) -> Iterator[Servers]:
    """Make what servers need, with a database of their own, until the block ends.

    Args:
        postgres: The URL of a PostgreSQL, for its superuser.
    """
    with migrated_database(postgres) as url, _no_news_of_closed_loops():
        loop = _Loop()
        database = Database(url)
        try:
            yield Servers(loop, database, States(url))
        finally:
            loop.run(database.close())
            loop.stop()


@contextmanager
def _no_news_of_closed_loops() -> Iterator[None]:
    """Keep what does not matter out of the logs of tests.

    gRPC has one queue of events for all loops of a process. When the call of a test is ended that is still open after
    its loop is closed, another loop finds that event, cannot pass it on, and asyncio logs that as an error.
    """
    log = logging.getLogger("asyncio")
    log.addFilter(_is_news)
    try:
        yield
    finally:
        log.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and "PollerCompletionQueue" in record.getMessage())
