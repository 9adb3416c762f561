"""A server on a free port of this machine, in the event loop that runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from sprocket_grpc.database import Database
from sprocket_grpc.health import HealthMonitor
from sprocket_grpc.identity.authentication import create_authentication
from sprocket_grpc.replicas import Replicas
from sprocket_grpc.server import SERVICES, create_server
from sprocket_grpc.services.following import Following
from sprocket_grpc.settings import Settings
from sprocket_grpc.telemetry.switch import telemetry_for


class RunningServer(NamedTuple):
    """A server that answers calls.

    Attributes:
        address: Where it listens.
        monitor: Its health monitor.
        following: What notices new entries of charts for it.
    """

    address: str
    monitor: HealthMonitor
    following: Following


@asynccontextmanager
async def running_server(
    settings: Settings, database: Database, replicas: Replicas | None = None
) -> AsyncIterator[RunningServer]:
    """Run a server until the block ends, and cut off what it is doing then.

    Args:
        settings: Its settings, but for the address.
        database: What it works on. It stays open.
        replicas: Where it reads; on the database if None. They stay open too.
    """
    settings = settings.model_copy(update={"listen": "127.0.0.1:0"})
    monitor = HealthMonitor(database, SERVICES)
    following = Following(database, settings.follow_tick_seconds)
    authentication = create_authentication(settings, database)
    replicas = replicas or Replicas(database)
    with telemetry_for(settings) as telemetry:
        outermost = telemetry.concerns if telemetry else ()
        server, port = create_server(settings, database, monitor, following, authentication, replicas, outermost)
        if telemetry:
            telemetry.observe(replicas, following, monitor)
        await monitor.check()
        await server.start()
        try:
            yield RunningServer(f"127.0.0.1:{port}", monitor, following)
        finally:
            following.stop()
            await server.stop(grace=None)
