"""Several server processes on one port: started, replaced when one dies, and drained together.

Each is a program of its own, started while nothing of gRPC runs here: what forks after that hangs (grpc#16001).
The kernel spreads connections over them by SO_REUSEPORT. They hear that it is time to stop by SIGTERM, and that this
process died without a word by the end of their standard input.
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
"""How long to wait before a worker that died is replaced: one that cannot live must not keep a core busy."""

_log = logging.getLogger(__name__)


class WorkerError(ExpectedError):
    """A worker, or its port, cannot be had."""


class Worker:
    """One of the server processes, or the place of one that died."""

    def __init__(self, number: int, environment: Mapping[str, str]) -> None:
        self._number = number
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Started:
        """Start a process and wait until it answers calls.

        Raises:
            WorkerError: It ended before.
        """
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=self._environment,
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,  # Ctrl-C is for us alone: we tell them
        )
        self._process = process
        assert process.stdout  # noqa: S101  # it was asked for
        line = await process.stdout.readline()
        if not line:
            raise WorkerError(f"worker {self._number} ended with status {await process.wait()} before it was ready")
        return Started(*json.loads(line))

    async def keep(self) -> None:
        """Replace the process when it dies, again and again, for ever."""
        while self._process:
            status = await self._process.wait()
            _log.error("worker %d ended with status %d and is replaced", self._number, status)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except WorkerError:
                pass  # it has said why
            except OSError as error:  # no memory, no process, no file is left just now
                _log.error("worker %d cannot be started: %s", self._number, error)

    def ask(self, number: signal.Signals) -> None:
        """Ask the process to stop with SIGTERM, and not to wait for anything with SIGINT."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """End the process on the spot."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> None:
        """Wait for the end of the process."""
        if self._process:
            await self._process.wait()


async def supervise(
    environments: Sequence[Mapping[str, str]], longest_stop_seconds: float, announce: Callable[[Started], None]
) -> None:
    """Keep workers running until SIGTERM or SIGINT.

    Args:
        environments: The environment of each.
        longest_stop_seconds: After how long one that does not stop is killed.
        announce: Called once all answer calls, with what the first of them said.

    Raises:
        WorkerError: One of them cannot be started.
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
            return  # nobody has called yet
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
    """Let all stop at the same time, and at once if the second signal comes."""
    ended = asyncio.create_task(_all_end(workers))
    hurried = asyncio.create_task(signals.hurry.wait())
    for worker in workers:
        worker.ask(signal.SIGTERM)
    await asyncio.wait({ended, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if hurried.done():
        for worker in workers:
            worker.ask(signal.SIGINT)
        await asyncio.wait({ended}, timeout=seconds)
    hurried.cancel()


async def _all_end(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.wait() for worker in workers))


@contextmanager
def shared_port(listen: str) -> Iterator[str]:
    """Keep a port for the workers, until the block ends, and return the address with its number.

    Raises:
        WorkerError: Somebody else has it.
    """
    host, port = split(listen)
    try:
        kept = _bound(host.strip("[]"), port)
    except OSError as error:
        raise WorkerError(f"cannot listen on {listen}: {error.strerror}; is another server running there?") from error
    with kept:
        yield f"{host}:{kept.getsockname()[1]}"


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as alone:  # where others share it already, we would get a part of their calls
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not matter
        alone.bind(address)
    shared = socket.socket(family)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(address)
    return shared
