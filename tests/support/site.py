"""A server in a process of its own that listens for browsers, with sample data, and can be stopped and killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.command_line import ServeProcess, serving
from tests.support.ports import free_address


class Site:
    """The server.

    Attributes:
        url: Where browsers find it, such as `http://127.0.0.1:8080`. It stays the same after a restart.
        database_url: The URL of its database.
    """

    def __init__(self, database_url: str, settings: dict[str, str]) -> None:
        web_listen = free_address()
        self.url = f"http://{web_listen}"
        self.database_url = database_url
        self._settings = {"web_listen": web_listen, "database_url": database_url, "drain_seconds": "0"} | settings
        self._process = ExitStack()
        self._served: ServeProcess | None = None

    @property
    def log(self) -> str:
        """What the server has logged since it was started."""
        assert self._served, "the server does not run"
        return self._served.logged

    async def start(self) -> None:
        """Start the server, and wait until it is ready."""
        self._served = await asyncio.to_thread(self._process.enter_context, serving(**self._settings))

    async def kill(self) -> None:
        """End the server with SIGKILL: it tells nobody."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop the server with SIGTERM, as orchestrators do, and wait for its end."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        assert self._served, "the server does not run"
        self._served.signal(number)
        await asyncio.to_thread(self._served.end)
        self._served = None

    def close(self) -> None:
        """Kill the server if it runs."""
        self._process.close()


@asynccontextmanager
async def running_site(database_url: str, **settings: str) -> AsyncIterator[Site]:
    """Fill a database with the sample data, and run a server until the block ends, with settings as `serving` has."""
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    site = Site(database_url, settings)
    async with AsyncExitStack() as until_the_end:
        until_the_end.callback(site.close)
        await site.start()
        yield site
