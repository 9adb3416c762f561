"""The life of a server process: start, serve until told to stop, let the calls in flight finish."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import NamedTuple

from sprocket_grpc.database import Database
from sprocket_grpc.databases import database_for, replicas_for
from sprocket_grpc.forgetting import forget_requests
from sprocket_grpc.health import HealthMonitor
from sprocket_grpc.identity.authentication import create_authentication
from sprocket_grpc.replicas import Replicas
from sprocket_grpc.server import SERVICES, create_health_server, create_server
from sprocket_grpc.services.following import Following
from sprocket_grpc.settings import Settings

# What a call cut off may take to cancel its statement: psycopg gives PostgreSQL 5 s to answer.
_CUT_OFF_SECONDS = 6

_log = logging.getLogger(__name__)


class Started(NamedTuple):
    """What is known once calls are answered.

    Attributes:
        port: Where.
        health_port: Where health alone is answered for, if anywhere.
        problem: What keeps the server from serving, if anything.
    """

    port: int
    health_port: int | None
    problem: str | None


async def serve(settings: Settings, url: str, announce: Callable[[Started], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: The settings.
        url: The database.
        announce: Called once calls are answered.

    Raises:
        AddressInUseError: The address to listen on cannot be had.
        TlsError: The certificate and key cannot be used.
    """
    database = database_for(settings, url)
    replicas = replicas_for(settings, database)
    # Its own connection, so that it does not wait behind requests: a busy server is a healthy one.
    health_database = Database(url, pool_size=1, prepared_statements=settings.database_prepared_statements)
    monitor = HealthMonitor(health_database, SERVICES)
    watching = asyncio.create_task(replicas.watch(health_database))
    try:
        await _serve(settings, database, replicas, monitor, announce)
    finally:
        watching.cancel()
        await replicas.close()
        await database.close()
        await health_database.close()


async def _serve(
    settings: Settings,
    database: Database,
    replicas: Replicas,
    monitor: HealthMonitor,
    announce: Callable[[Started], None],
) -> None:
    stopped = _stop_signal()
    following = Following(database, settings.follow_tick_seconds)
    authentication = create_authentication(settings, database)
    server, port = create_server(settings, database, monitor, following, authentication, replicas)
    health_server, health_port = create_health_server(settings, monitor)
    await monitor.check()
    await server.start()
    await health_server.start()
    background = [
        asyncio.create_task(monitor.watch(settings.health_interval_seconds)),
        asyncio.create_task(forget_requests(database, settings.request_id_hours)),
    ]
    if authentication:
        background.append(asyncio.create_task(authentication.keep_up()))
    announce(Started(port, health_port, monitor.problem))
    await stopped.wait()
    _log.info("stopping: calls in flight have %g s to finish", settings.shutdown_grace_seconds)
    for task in background:
        task.cancel()
    await monitor.servicer.enter_graceful_shutdown()
    following.stop()
    await server.stop(settings.shutdown_grace_seconds)
    await health_server.stop(grace=None)  # until now it has told those who ask that we stop
    await _cut_off_calls_end()


async def _cut_off_calls_end() -> None:
    """Wait for the calls that were cut off; gRPC cancels them and does not wait for what they clean up (grpc#37239)."""
    if cut_off := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(cut_off, timeout=_CUT_OFF_SECONDS)


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
