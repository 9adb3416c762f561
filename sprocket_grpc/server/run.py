"""The lifecycle of a server process: start, serve until a signal, drain, and let the calls in flight finish."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import ServerDependencies, open_dependencies
from sprocket_grpc.server.grpc_server import Listener, create_health_server, create_server
from sprocket_grpc.server.web import create_web_listener

if TYPE_CHECKING:
    from sprocket_grpc.web.listener import WebListener

# For the calls that wait inside gRPC to come out, to be refused: until none came for this time, and 2 s at most.
_QUIET_SECONDS = 0.25
_MOST_QUIET_PERIODS = 8

# For clients to learn that their connection is closing, before the refused calls are answered.
_CLOSE_SECONDS = 0.2

# For the statuses of calls that are ended to be sent.
_END_SECONDS = 1

# For a cancelled call to cancel its statement: psycopg gives PostgreSQL 5 s to answer.
_CANCEL_SECONDS = 6

_log = logging.getLogger(__name__)


class Started(NamedTuple):
    """A server that accepts calls.

    Attributes:
        port: The port.
        health_port: The port for health checks only, or None.
        problem: Why the server is NOT_SERVING, or None.
        metrics_port: The port of the metrics, or None.
        web_port: The port for browsers and curl, or None.
    """

    port: int
    health_port: int | None
    problem: str | None
    metrics_port: int | None
    web_port: int | None = None


class StopSignals:
    """The first SIGTERM or SIGINT stops the process gracefully, and the second one immediately.

    A worker gets different signals from its supervisor: SIGTERM to stop gracefully, and SIGINT to stop immediately. It
    cannot count signals, because systemd sends SIGTERM to all processes of a service, and simultaneous signals merge.

    Attributes:
        stop: Set when the process has to stop.
        stop_now: Set when the process has to stop immediately.
    """

    def __init__(self, *, are_distinct: bool = False) -> None:
        self.stop = asyncio.Event()
        self.stop_now = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set if are_distinct else self.receive)
        loop.add_signal_handler(signal.SIGINT, self._receive_both if are_distinct else self.receive)

    def _receive_both(self) -> None:
        self.stop.set()
        self.stop_now.set()

    def receive(self) -> None:
        """Handle a signal: the first sets `stop`, the second sets `stop_now`."""
        (self.stop_now if self.stop.is_set() else self.stop).set()


async def serve(
    settings: Settings, url: str, announce: Callable[[Started], None], *, shares_port: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: The settings.
        url: The URL of the database.
        announce: Called once the server accepts calls.
        shares_port: Whether other processes listen on the same ports.

    Raises:
        AddressInUseError: An address to listen on is not available.
        TlsError: The certificate and key cannot be used.
    """
    async with open_dependencies(settings, url) as dependencies:
        await _serve(dependencies, announce, shares_port=shares_port)


async def _serve(dependencies: ServerDependencies, announce: Callable[[Started], None], *, shares_port: bool) -> None:
    signals = StopSignals(are_distinct=shares_port)
    listener = create_server(dependencies, shares_port=shares_port)
    web = create_web_listener(dependencies, listener.answers, listener.port, shares_port=shares_port)
    health_server, health_port = create_health_server(dependencies, shares_port=shares_port)
    await dependencies.monitor.check()
    if dependencies.authentication:
        await dependencies.authentication.prepare()
    if signals.stop.is_set():
        return  # before any call was accepted
    others = asyncio.all_tasks()  # tasks that are not calls, and run until the end
    await listener.server.start()
    await health_server.start()
    if web:
        await web.start()
    background = [asyncio.create_task(each) for each in dependencies.background()]
    instrumentation = dependencies.instrumentation
    metrics_port = instrumentation.metrics_port if instrumentation else None
    web_port = web.port if web else None
    announce(Started(listener.port, health_port, dependencies.monitor.problem, metrics_port, web_port))
    await signals.stop.wait()
    await _drain(dependencies, signals)
    for task in background:
        task.cancel()
    listener.lifetime.refuse()
    dependencies.chart_poller.stop()
    dependencies.monitor.servicer.end_watches()
    await _stop(listener, web, dependencies.settings.shutdown_grace_seconds, signals)
    await health_server.stop(grace=None)  # the last to stop, so that probes see NOT_SERVING until now
    await wait_for_cancelled_calls(others | dependencies.supervisor.rounds)


async def _drain(dependencies: ServerDependencies, signals: StopSignals) -> None:
    """Report NOT_SERVING and accept calls for a while longer, until load balancers have noticed."""
    seconds = dependencies.settings.drains_seconds
    dependencies.monitor.drain()
    if seconds:
        _log.info("draining: calls are accepted for another %g s", seconds)
    await _wait(signals.stop_now, seconds)


async def _stop(listener: Listener, web: "WebListener | None", grace_seconds: float, signals: StopSignals) -> None:
    """Let calls in flight finish, and end those that are left; on the second signal at once, but never as CANCELLED."""
    if grace_seconds and not signals.stop_now.is_set():
        _log.info("draining: calls in flight have %g s to finish", grace_seconds)
    else:
        _log.info("stopping: calls in flight are ended")
    await _until_quiet(listener)
    stopping = asyncio.create_task(_close(listener, web, grace_seconds + _END_SECONDS))
    stopping_now = asyncio.create_task(signals.stop_now.wait())
    await asyncio.sleep(_CLOSE_SECONDS)
    listener.lifetime.close()
    await asyncio.wait({stopping, stopping_now}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    listener.lifetime.end()
    if stopping_now.done():
        await asyncio.wait({stopping}, timeout=_END_SECONDS)
        await _close(listener, web, 0)
    stopping_now.cancel()
    await stopping


async def _close(listener: Listener, web: "WebListener | None", seconds: float) -> None:
    """Accept no more connections, and close those that are open when their calls have ended, or after some time."""
    await asyncio.gather(listener.server.stop(seconds or None), *([web.stop(seconds)] if web else []))


async def _until_quiet(listener: Listener) -> None:
    """Wait until all callers have been refused, so that none of their calls is left in gRPC, which would cancel it.

    They arrive within milliseconds, but on a machine that is busy the event loop gets to them later.
    """
    refused = -1
    for _ in range(_MOST_QUIET_PERIODS):
        await asyncio.sleep(_QUIET_SECONDS)
        if listener.lifetime.refused == refused:
            return
        refused = listener.lifetime.refused


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer than `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def wait_for_cancelled_calls(others: Iterable[asyncio.Task[Any]] = ()) -> None:
    """Wait until cancelled calls have cleaned up. gRPC cancels them at the end, but does not wait (grpc#37239).

    Args:
        others: Tasks that are not calls.
    """
    if cancelled := asyncio.all_tasks() - {asyncio.current_task(), *others}:
        await asyncio.wait(cancelled, timeout=_CANCEL_SECONDS)
