"""The supervisor handles workers that fail to start, hang, or do not stop."""

import asyncio
import os
import signal
import sys
import time
from typing import Any

import pytest

from sprocket_grpc.server import supervisor
from sprocket_grpc.server.run import Started
from sprocket_grpc.server.supervisor import Worker, supervise

READY = "print('[1, null, null, null]', flush=True);"


def worker_runs(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Run a program in place of every worker."""
    monkeypatch.setattr(supervisor, "COMMAND", (sys.executable, "-c", program))


async def test_a_worker_that_cannot_be_started_is_started_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker_runs(monkeypatch, f"import sys; {READY} sys.stdin.read()")
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.05)
    create, failures = asyncio.create_subprocess_exec, [BlockingIOError(11, "there is no process left")]

    async def create_or_fail(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        if failures and worker._process:
            raise failures.pop()
        return await create(*command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create_or_fail)
    worker = Worker(0, os.environ)
    await worker.start()
    first, keeper = worker._process, asyncio.create_task(worker.keep())
    worker.kill()
    async with asyncio.timeout(30):
        while worker._process is first:  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
    keeper.cancel()
    worker.kill()
    await worker.wait()
    assert not failures
    assert "cannot start worker 0: [Errno 11] there is no process left" in caplog.text


async def test_a_supervisor_stops_while_a_worker_does_not_get_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    worker_runs(monkeypatch, "import time; time.sleep(3600)")
    supervising = asyncio.create_task(supervise([os.environ], 3600, lambda _: None))
    await asyncio.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        await supervising


async def test_a_worker_that_does_not_stop_is_killed_after_the_longest_stop_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker_runs(monkeypatch, f"import signal, time; signal.signal(15, signal.SIG_IGN); {READY} time.sleep(3600)")
    began = 0.0

    def announce(_: Started) -> None:
        nonlocal began
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)

    await supervise([os.environ], 3, announce)
    assert 3 <= round(time.monotonic() - began, 2) < 6
