"""The life of a server process: start, serve until told to stop, drain, let the calls in flight finish."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import grpc

from sprocket_grpc.database import Database
from sprocket_grpc.databases import database_for, replicas_for
from sprocket_grpc.forgetting import forget_requests
from sprocket_grpc.health import HealthMonitor
from sprocket_grpc.identity.authentication import create_authentication
from sprocket_grpc.replicas import Replicas
from sprocket_grpc.server import SERVICES, create_health_server, create_server
from sprocket_grpc.services.following import Following
from sprocket_grpc.settings import Settings
from sprocket_grpc.telemetry.switch import telemetry_for

if TYPE_CHECKING:
    from sprocket_grpc.telemetry.telemetry import Telemetry

# What a call cut off may take to cancel its statement: psycopg gives PostgreSQL 5 s to answer.
_CUT_OFF_SECONDS = 6

_log = logging.getLogger(__name__)


class Started(NamedTuple):
    """What is known once calls are answered.

    Attributes:
        port: Where.
        health_port: Where health alone is answered for, if anywhere.
        problem: What keeps the server from serving, if anything.
        metrics_port: Where the metrics are, if anywhere.
    """

    port: int
    health_port: int | None
    problem: str | None
    metrics_port: int | None


class StopSignals:
    """SIGTERM and Ctrl-C: the first asks to stop, and the second not to wait for anything any more.

    Attributes:
        stop: Is set by the first.
        hurry: Is set by the second.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.receive)

    def receive(self) -> None:
        """Take a signal, or the like of one."""
        (self.hurry if self.stop.is_set() else self.stop).set()


async def serve(
    settings: Settings, url: str, announce: Callable[[Started], None], *, shares_port: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: The settings.
        url: The database.
        announce: Called once calls are answered.
        shares_port: Whether other processes serve on the same ports.

    Raises:
        AddressInUseError: An address to listen on cannot be had.
        TlsError: The certificate and key cannot be used.
    """
    database = database_for(settings, url)
    replicas = replicas_for(settings, database)
    # Its own connection, so that it does not wait behind requests: a busy server is a healthy one.
    health_database = Database(url, pool_size=1, prepared_statements=settings.database_prepared_statements)
    monitor = HealthMonitor(health_database, SERVICES)
    watching = asyncio.create_task(replicas.watch(health_database))
    try:
        with telemetry_for(settings) as telemetry:
            await _serve(settings, database, replicas, monitor, telemetry, announce, shares_port=shares_port)
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
    telemetry: "Telemetry | None",
    announce: Callable[[Started], None],
    *,
    shares_port: bool,
) -> None:
    signals = StopSignals()
    following = Following(database, settings.follow_tick_seconds)
    authentication = create_authentication(settings, database)
    outermost = telemetry.concerns if telemetry else ()
    server, port = create_server(
        settings, database, monitor, following, authentication, replicas, outermost, shares_port=shares_port
    )
    health_server, health_port = create_health_server(settings, monitor, shares_port=shares_port)
    await monitor.check()
    await server.start()
    await health_server.start()
    background = [
        asyncio.create_task(monitor.watch(settings.health_interval_seconds)),
        asyncio.create_task(forget_requests(database, settings.request_id_hours)),
    ]
    if authentication:
        background.append(asyncio.create_task(authentication.keep_up()))
    if telemetry:
        telemetry.observe(replicas, following, monitor)
        background.append(asyncio.create_task(telemetry.event_loop_lag.measure()))
    announce(Started(port, health_port, monitor.problem, telemetry.metrics_port if telemetry else None))
    await signals.stop.wait()
    await _drain(settings, monitor, signals)
    for task in background:
        task.cancel()
    following.stop()
    monitor.servicer.end_watches()
    await _stop(server, settings.shutdown_grace_seconds, signals)
    await health_server.stop(grace=None)  # until now it has told those who ask that we stop
    await cut_off_calls_end()


async def _drain(settings: Settings, monitor: HealthMonitor, signals: StopSignals) -> None:
    """Tell that we stop, and go on for a while: whoever sends calls here needs a moment to hear of it."""
    await monitor.drain()
    _log.info("draining: calls are taken for %g s more", settings.drains_seconds)
    await _wait(signals.hurry, settings.drains_seconds)


async def _stop(server: grpc.aio.Server, grace_seconds: float, signals: StopSignals) -> None:
    _log.info("stopping: calls in flight have %g s to finish", grace_seconds)
    stopping = asyncio.create_task(server.stop(grace_seconds))
    hurried = asyncio.create_task(signals.hurry.wait())
    await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if hurried.done():
        await server.stop(grace=None)
    hurried.cancel()
    await stopping


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but only for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def cut_off_calls_end() -> None:
    """Wait for the calls that were cut off; gRPC cancels them and does not wait for what they clean up (grpc#37239)."""
    if cut_off := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(cut_off, timeout=_CUT_OFF_SECONDS)
