"""A worker process: forked from the supervisor, which has imported the server already.

A process must not fork after gRPC has started (grpc#16001), so the supervisor creates no object of gRPC. To import gRPC
starts nothing. A worker stops on SIGTERM, and also when the lifeline closes, which happens if the supervisor is killed.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

import uvloop

from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.server.run import Started

Announce: TypeAlias = Callable[[Started], None]

Work: TypeAlias = Callable[[Announce], Coroutine[Any, Any, None]]
"""What a worker runs until SIGTERM or SIGINT. It announces when it accepts calls."""

_FORK = multiprocessing.get_context("fork")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class WorkerError(ExpectedError):
    """A worker cannot be started, or its port is not available."""


class Lifeline(NamedTuple):
    """A pipe whose write end only the supervisor has open, so that its end shows the end of the supervisor."""

    read_end: int
    write_end: int


@contextmanager
def lifeline() -> Iterator[Lifeline]:
    """Yield the lifeline of this process's workers, and close it when the block ends."""
    pipe = Lifeline(*os.pipe())
    try:
        yield pipe
    finally:
        for end in pipe:
            os.close(end)


class WorkerProcess:
    """A running worker process.

    Attributes:
        ended: Set when the process has ended.
    """

    def __init__(self, name: str, work: Work, alive: Lifeline) -> None:
        """Fork.

        Raises:
            OSError: Out of memory, processes or file descriptors.
        """
        for handler in logging.getLogger().handlers:
            handler.flush()  # else the new process has a copy of the lines that are not written yet
        self.ended = asyncio.Event()
        self._announcement, announcing = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_run, args=(work, announcing, alive), name=name)
        try:
            with announcing, _blocked_signals():
                self._process.start()
        except OSError:
            self._announcement.close()
            raise
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._reap)

    async def started(self) -> Started:
        """Return once the process accepts calls.

        Raises:
            WorkerError: The process ended before it accepted calls.
        """
        with self._announcement:
            await _readable(self._announcement)
            try:
                started: Started = self._announcement.recv()
            except EOFError:
                await self.ended.wait()
                raise WorkerError(f"{self._process.name} ended with status {self.status} before it was ready") from None
        return started

    @property
    def status(self) -> int | None:
        """The exit status, or the negative number of the signal that ended the process."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process unless it has ended."""
        if self._process.pid and not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self.ended.set()


def run_in_event_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a server to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals during a fork: the handlers of the supervisor must not run in the worker."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _readable(connection: Connection) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection.fileno())


def _run(work: Work, announcing: Connection, alive: Lifeline) -> None:
    """Work in the new process. Nothing returns to the code of the supervisor: multiprocessing ends the process."""
    os.setsid()  # so that only the supervisor gets Ctrl-C
    os.close(alive.write_end)
    _reset_signals()
    try:
        run_in_event_loop(_work(work, announcing, alive))
    except ExpectedError as error:
        sys.exit(f"Error: {error}")
    finally:
        logging.shutdown()  # multiprocessing ends processes without the functions of atexit


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)  # that of the supervisor's event loop
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


async def _work(work: Work, announcing: Connection, alive: Lifeline) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(alive.read_end)  # else it stays readable, and this is called repeatedly
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(alive.read_end, stop)
    await work(announcing.send)
