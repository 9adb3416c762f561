"""What the events happen to: a cluster, a service that writes to its leader and reads from its replicas."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from reliability.ha.cluster import Cluster, new_cluster
from reliability.ha.programs import Programs
from reliability.server import ServerProcess
from sprocket_grpc.config.database_url import normalise
from sprocket_grpc.storage import migrate
from tests.support.ports import free_port

_ANSWER_SECONDS = 10
_POLL_SECONDS = 0.2
_FRESH = "sprocket_database_fresh_standbys "


@dataclass
class World:
    """The service under test.

    Attributes:
        cluster: Its database.
        server: The server, with all settings that matter at their defaults.
        metrics: The port of its metrics.
    """

    cluster: Cluster
    server: ServerProcess
    metrics: int

    async def query(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on the leader as the role of the service, and return its rows."""
        url = f"{self.cluster.url()}?target_session_attrs=read-write&connect_timeout={_ANSWER_SECONDS}"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def are_standbys_fresh(self, number: int, seconds: float) -> bool:
        """Whether the server reads from as many standbys within some seconds."""
        deadline = time.monotonic() + seconds
        while await asyncio.to_thread(self._fresh_standbys) != number:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _fresh_standbys(self) -> int | None:
        """Return the number of standbys that the server reads from, by its metrics."""
        connection = HTTPConnection("127.0.0.1", self.metrics, timeout=_ANSWER_SECONDS)
        with suppress(OSError):
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
            return next((int(float(line.split()[1])) for line in lines if line.startswith(_FRESH)), None)
        return None


@asynccontextmanager
async def new_world(programs: Programs, log: Path) -> AsyncIterator[World]:
    """Run a cluster and a server, which logs to `log`, until the block ends."""
    with new_cluster(programs) as cluster:
        await asyncio.to_thread(migrate.upgrade, normalise(cluster.url()))
        metrics = free_port()
        settings = {
            "database_url": cluster.url(),
            "database_read_url": cluster.url(),
            "metrics_listen": f"127.0.0.1:{metrics}",
        }
        server = ServerProcess(settings, log)
        try:
            await asyncio.to_thread(server.start)
            yield World(cluster, server, metrics)
        finally:
            server.kill()
