"""The listener is closed only when no more calls come that have to be refused."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sprocket_grpc.interceptors.lifetime import Lifetime
from sprocket_grpc.server import run


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(run, "_QUIET_SECONDS", 0.2)
    return SimpleNamespace(lifetime=Lifetime(1))


async def test_a_stop_waits_while_calls_come_to_be_refused(listener: Any) -> None:
    waiting = asyncio.create_task(run._until_quiet(listener))
    for _ in range(20):
        listener.lifetime.refused += 1
        await asyncio.sleep(0.05)
    assert not waiting.done()
    await asyncio.wait_for(waiting, 10)


async def test_a_stop_does_not_wait_for_ever_for_callers_that_never_cease(listener: Any) -> None:
    waiting = asyncio.create_task(run._until_quiet(listener))
    async with asyncio.timeout(60):
        while not waiting.done():
            listener.lifetime.refused += 1
            await asyncio.sleep(0.02)
