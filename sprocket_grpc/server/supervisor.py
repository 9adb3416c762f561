"""Supervises several server processes on one port: starts them, replaces one that dies, and drains them together.

Each worker is a separate program, because a process that forks after gRPC has started hangs (grpc#16001). The kernel
distributes connections with SO_REUSEPORT. A worker stops on SIGTERM, and also when its standard input is closed, which
happens if this process is killed.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from sprocket_grpc.config.addresses import split
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.server.run import Started, StopSignals

COMMAND = (sys.executable, "-m", "sprocket_grpc", "worker")

RESTART_SECONDS = 1
"""The delay before a dead worker is replaced, so that a worker that always fails does not keep a core busy."""

_log = logging.getLogger(__name__)


class WorkerError(ExpectedError):
    """A worker cannot be started, or its port is not available."""


class Worker:
    """A server process that is replaced when it dies."""

    def __init__(self, number: int, environment: Mapping[str, str]) -> None:
        self._number = number
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Started:
        """Start a process, and return once it accepts calls.

        Raises:
            WorkerError: The process ended before it accepted calls.
        """
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=self._environment,
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,  # so that only the supervisor gets Ctrl-C
        )
        self._process = process
        assert process.stdout  # noqa: S101  # because of stdout=pipe
        line = await process.stdout.readline()
        if not line:
            raise WorkerError(f"worker {self._number} ended with status {await process.wait()} before it was ready")
        return Started(*json.loads(line))

    async def keep(self) -> None:
        """Replace the process whenever it dies, until cancelled."""
        while self._process:
            status = await self._process.wait()
            _log.error("worker %d ended with status %d; replacing it", self._number, status)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except WorkerError:
                pass  # the worker has logged the reason
            except OSError as error:  # out of memory, processes or file descriptors
                _log.error("cannot start worker %d: %s", self._number, error)

    def send_signal(self, number: signal.Signals) -> None:
        """Send SIGTERM to stop the process gracefully, or SIGINT to stop it immediately."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> None:
        """Wait until the process has ended."""
        if self._process:
            await self._process.wait()


async def supervise(
    environments: Sequence[Mapping[str, str]], longest_stop_seconds: float, announce: Callable[[Started], None]
) -> None:
    """Keep workers running until SIGTERM or SIGINT.

    Args:
        environments: The environment of each worker.
        longest_stop_seconds: The time after which a worker that does not stop is killed.
        announce: Called with the first worker once all workers accept calls.

    Raises:
        WorkerError: A worker cannot be started.
    """
    signals = StopSignals()
    workers = [Worker(number, environment) for number, environment in enumerate(environments)]
    try:
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
    finally:
        for worker in workers:
            worker.kill()
        await _all_end(workers)


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


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # An exclusive bind first: other servers may share the port with SO_REUSEPORT, and would get a part of our calls.
    with socket.socket(family) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        exclusive.bind(address)
    shared = socket.socket(family)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(address)
    return shared
