"""Supervises several server processes on one port: starts them, replaces one that dies, and drains them together.

The kernel distributes connections with SO_REUSEPORT.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from sprocket_grpc.config.addresses import split
from sprocket_grpc.server.run import Started, StopSignals
from sprocket_grpc.server.worker_process import Announce, Lifeline, Work, WorkerError, WorkerProcess, lifeline

RESTART_SECONDS = 1
"""The delay before a dead worker is replaced, so that a worker that always fails does not keep a core busy."""

_log = logging.getLogger(__name__)


class Worker:
    """A server process that is replaced when it dies."""

    def __init__(self, number: int, work: Work, alive: Lifeline) -> None:
        self._name = f"worker {number}"
        self._work = work
        self._alive = alive
        self._process: WorkerProcess | None = None

    async def start(self) -> Started:
        """Start a process, and return once it accepts calls.

        Raises:
            OSError: Out of memory, processes or file descriptors.
            WorkerError: The process ended before it accepted calls.
        """
        self._process = WorkerProcess(self._name, self._work, self._alive)
        return await self._process.started()

    async def keep(self) -> None:
        """Replace the process whenever it dies, until cancelled."""
        while self._process:
            await self._process.ended.wait()
            _log.error("%s ended with status %s; replacing it", self._name, self._process.status)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except WorkerError:
                pass  # the worker has logged the reason
            except OSError as error:
                _log.error("cannot start %s: %s", self._name, error)

    def send_signal(self, number: signal.Signals) -> None:
        """Send SIGTERM to stop the process gracefully, SIGINT to stop it immediately, or SIGKILL."""
        if self._process:
            self._process.send_signal(number)

    async def wait(self) -> None:
        """Wait until the process has ended."""
        if self._process:
            await self._process.ended.wait()


async def supervise(works: Sequence[Work], longest_stop_seconds: float, announce: Announce) -> None:
    """Keep workers running until SIGTERM or SIGINT. No object of gRPC may exist in this process.

    Args:
        works: What each worker runs.
        longest_stop_seconds: The time after which a worker that does not stop is killed.
        announce: Called with the first worker once all workers accept calls.

    Raises:
        WorkerError: A worker cannot be started.
    """
    signals = StopSignals()
    with lifeline() as alive:
        workers = [Worker(number, work, alive) for number, work in enumerate(works)]
        try:
            await _supervise(workers, signals, longest_stop_seconds, announce)
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
            await _all_end(workers)


async def _supervise(
    workers: Sequence[Worker], signals: StopSignals, longest_stop_seconds: float, announce: Announce
) -> None:
    starting = asyncio.create_task(_all_start(workers))
    stop = asyncio.create_task(signals.stop.wait())
    await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return  # before any call was accepted
    announce(starting.result()[0])
    keepers = [asyncio.create_task(worker.keep()) for worker in workers]
    await stop
    for keeper in keepers:
        keeper.cancel()
    await asyncio.wait(keepers)
    await _stop(workers, signals, longest_stop_seconds)


async def _all_start(workers: Sequence[Worker]) -> list[Started]:
    return await asyncio.gather(*(worker.start() for worker in workers))


async def _stop(workers: Sequence[Worker], signals: StopSignals, seconds: float) -> None:
    """Stop all workers gracefully, and immediately on the second signal."""
    ended = asyncio.create_task(_all_end(workers))
    stopping_now = asyncio.create_task(signals.stop_now.wait())
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    await asyncio.wait({ended, stopping_now}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if stopping_now.done():
        for worker in workers:
            worker.send_signal(signal.SIGINT)
        await asyncio.wait({ended}, timeout=seconds)
    stopping_now.cancel()


async def _all_end(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.wait() for worker in workers))


@contextmanager
def shared_port(listen: str) -> Iterator[str]:
    """Reserve a port for the workers until the block ends, and yield the address with its number.

    Raises:
        WorkerError: The port is not available.
    """
    host, port = split(listen)
    try:
        reserved = _bound(host.strip("[]"), port)
    except OSError as error:
        raise WorkerError(f"cannot listen on {listen}: {error.strerror}; is another server running there?") from error
    with reserved:
        yield f"{host}:{reserved.getsockname()[1]}"


@contextmanager
def first_shared_port(addresses: Sequence[str]) -> Iterator[str]:
    """Reserve the port of the first address that is available, and yield the address, as `shared_port` does.

    Raises:
        WorkerError: None is.
    """
    with ExitStack() as until_the_end:
        yield _first(addresses, until_the_end)


def _first(addresses: Sequence[str], until_the_end: ExitStack) -> str:
    for address in addresses[:-1]:
        with suppress(WorkerError):
            return until_the_end.enter_context(shared_port(address))
    return until_the_end.enter_context(shared_port(addresses[-1]))


def _bound(host: str, port: int) -> socket.socket:
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104  # as gRPC does on a host without IPv6
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # An exclusive bind first: other servers may share the port with SO_REUSEPORT, and would get a part of our calls.
    with socket.socket(family) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        exclusive.bind(address)
    shared = socket.socket(family)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Connections in TIME_WAIT of a server with one worker, which does not share its port, would take it for a minute.
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.bind(address)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # the exclusive bind of another server must fail
    return shared
