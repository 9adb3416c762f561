"""A worker process, without gRPC and without the fork."""

import asyncio
import os
import signal
import subprocess
from typing import Any

import pytest

from sprocket_grpc.server import worker_process
from sprocket_grpc.server.worker_process import Announce, WorkerProcess, lifeline

SIGNALS = {signal.SIGTERM, signal.SIGINT}


async def work(_: Announce) -> None:
    """Do nothing."""


def blocked() -> set[signal.Signals | int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


async def test_signals_wait_during_a_fork_since_the_handlers_of_the_supervisor_must_not_run_in_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    during: list[set[signal.Signals | int]] = []

    def fork(_: object) -> None:
        during.append(blocked())
        raise BlockingIOError(11, "there is no process left")

    monkeypatch.setattr(worker_process._FORK.Process, "start", fork)
    before = blocked()
    with pytest.raises(BlockingIOError), lifeline() as alive:
        WorkerProcess("worker 0", work, alive)
    assert during[0] >= SIGNALS
    assert blocked() == before


def test_a_supervisor_that_ends_leaves_no_pipe_behind() -> None:
    with lifeline() as alive:
        assert all(os.fstat(end) for end in alive)
    for end in alive:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


async def test_a_signal_to_a_worker_that_has_just_ended_is_no_error() -> None:
    process: Any = object.__new__(WorkerProcess)
    process._process, process.ended = ended_process(), asyncio.Event()  # the event loop has not told it yet
    process.send_signal(signal.SIGCONT)


def ended_process() -> subprocess.Popen[bytes]:
    """Return a process that has ended, and whose status was read."""
    with subprocess.Popen(["/bin/true"]) as process:
        return process
