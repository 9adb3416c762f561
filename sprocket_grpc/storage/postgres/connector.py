"""Opens connections for a pool."""

import asyncio
import time
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import make_url

from sprocket_grpc.config.database_url import connect_arguments
from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres.conversation import Conversation
from sprocket_grpc.storage.postgres.hosts import connect_to_one_of
from sprocket_grpc.storage.postgres.session import CONNECT_ARGUMENTS, check_encoding, setup_query

_PATIENCE_SECONDS = 1
"""In this time an attempt finds out whether the database answers: others wait for it, and it has failed if it is
cancelled later."""

_OF_HOSTS = ("host", "hostaddr", "port")
"""The parameters that have a value for each host, or one for all."""

_SETUP = setup_query().encode()


class Connector:
    """Opens connections. After a failure one caller at a time retries, and all others wait until it succeeds.

    They fail as soon as it fails, or has taken a second. So calls do not queue for an unavailable database, each for
    its own timeout, do not storm it when it is back, and do not fail then.

    Of several hosts the last one that was reached is tried first, and the others if it does not answer at once.

    Attributes:
        failed_at: When the last attempt failed, by a monotonic clock; 0 after a success.
    """

    def __init__(self, url: str, *, prepares: bool) -> None:
        parsed = make_url(url)
        _, arguments = parsed.get_dialect()().create_connect_args(parsed)
        self._arguments: dict[str, Any] = {**arguments, **connect_arguments(url), **CONNECT_ARGUMENTS}
        self._prepares = prepares
        self.failed_at = 0.0
        self._trying = 0
        self._began = 0.0
        self._ended: asyncio.Future[None] | None = None  # of the last attempt
        self._reached = ("", "")

    async def open(self) -> Conversation:
        """Open a connection.

        Raises:
            UnavailableError: The last attempt failed, and another caller retries in vain.
            DatabaseEncodingError: The encoding of the database is not UTF8.
            psycopg.Error: It failed.
        """
        if self.failed_at and self._trying:
            await self._wait_for_other()
        began = self._began = time.monotonic()
        ended = self._ended = asyncio.get_running_loop().create_future()
        self._trying += 1
        try:
            driver = await self._connect()
        except Exception:
            self.failed_at = time.monotonic()
            raise
        except BaseException:  # cancelled: the client has disconnected, or the deadline has passed
            if time.monotonic() - began > _PATIENCE_SECONDS:
                self.failed_at = time.monotonic()
            raise
        finally:
            self._trying -= 1
            ended.set_result(None)  # those who wait for it look after this step
        self.failed_at = 0.0
        self._reached = (driver.info.host, str(driver.info.port))
        return Conversation(driver, prepares=self._prepares)

    async def _wait_for_other(self) -> None:
        left = self._began + _PATIENCE_SECONDS - time.monotonic()
        if left > 0 and self._ended:
            await asyncio.wait([self._ended], timeout=left)
        if self.failed_at:
            raise UnavailableError

    async def _connect(self) -> "psycopg.AsyncConnection[Any]":
        return await connect_to_one_of([partial(self._connect_to, host) for host in self._last_first()])

    async def _connect_to(self, host: dict[str, str]) -> "psycopg.AsyncConnection[Any]":
        driver = await psycopg.AsyncConnection.connect(**(self._arguments | host), autocommit=True)
        try:
            check_encoding(driver)
            await driver.execute(_SETUP)
        except BaseException:
            driver.pgconn.finish()
            raise
        return driver

    def _last_first(self) -> list[dict[str, str]]:
        """Return the parameters by which the hosts differ, first those of the host that was reached last."""
        lists = {name: str(self._arguments[name]).split(",") for name in _OF_HOSTS if name in self._arguments}
        number = max((len(values) for values in lists.values()), default=1)
        if number == 1:
            return [{}]
        hosts = [{name: (values * number)[place] for name, values in lists.items()} for place in range(number)]
        return sorted(hosts, key=lambda host: (host.get("host", ""), host.get("port", "")) != self._reached)
