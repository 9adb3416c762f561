"""The life of a server process: start, serve until told to stop, drain, let the calls in flight finish."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import grpc

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import ServerDependencies, open_dependencies
from sprocket_grpc.server.grpc_server import create_health_server, create_server
from sprocket_grpc.storage.postgres.database import disable_psycopg_yields

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

    To a worker its supervisor says the one by SIGTERM and the other by Ctrl-C, however often: it may be sent SIGTERM by
    others too, as systemd does to all processes of a service, and of two that come at once it hears one.

    Attributes:
        stop: Is set when it is to stop.
        hurry: Is set when it is not to wait for anything any more.
    """

    def __init__(self, *, are_told_apart: bool = False) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set if are_told_apart else self.receive)
        loop.add_signal_handler(signal.SIGINT, self._receive_both if are_told_apart else self.receive)

    def _receive_both(self) -> None:
        self.stop.set()
        self.hurry.set()

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
    disable_psycopg_yields()
    async with open_dependencies(settings, url) as dependencies:
        await _serve(dependencies, announce, shares_port=shares_port)


async def _serve(dependencies: ServerDependencies, announce: Callable[[Started], None], *, shares_port: bool) -> None:
    signals = StopSignals(are_told_apart=shares_port)
    server, port = create_server(dependencies, shares_port=shares_port)
    health_server, health_port = create_health_server(dependencies, shares_port=shares_port)
    await dependencies.monitor.check()
    if signals.stop.is_set():
        return  # nobody has called yet
    others = asyncio.all_tasks()  # those that go on until the end, and are no calls
    await server.start()
    await health_server.start()
    background = [asyncio.create_task(each) for each in dependencies.background()]
    metrics_port = dependencies.telemetry.metrics_port if dependencies.telemetry else None
    announce(Started(port, health_port, dependencies.monitor.problem, metrics_port))
    await signals.stop.wait()
    await _drain(dependencies, signals)
    for task in background:
        task.cancel()
    dependencies.chart_poller.stop()
    dependencies.monitor.servicer.end_watches()
    await _stop(server, dependencies.settings.shutdown_grace_seconds, signals)
    await health_server.stop(grace=None)  # until now it has told those who ask that we stop
    await cut_off_calls_end(others)


async def _drain(dependencies: ServerDependencies, signals: StopSignals) -> None:
    """Tell that we stop, and go on for a while: whoever sends calls here needs a moment to hear of it."""
    seconds = dependencies.settings.drains_seconds
    dependencies.monitor.drain()
    _log.info("draining: calls are taken for %g s more", seconds)
    await _wait(signals.hurry, seconds)


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


async def cut_off_calls_end(others: Iterable[asyncio.Task[Any]] = ()) -> None:
    """Wait for the calls that were cut off; gRPC cancels them and does not wait for what they clean up (grpc#37239).

    Args:
        others: Tasks that are no calls.
    """
    if cut_off := asyncio.all_tasks() - {asyncio.current_task(), *others}:
        await asyncio.wait(cut_off, timeout=_CUT_OFF_SECONDS)
