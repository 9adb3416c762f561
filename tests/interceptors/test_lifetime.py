"""The end of calls with their server."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sprocket_grpc.errors import ShuttingDownError
from sprocket_grpc.interceptors.lifetime import Lifetime
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("is_stream", [False, True], ids=["call", "stream"])
async def test_a_server_that_ends_ends_its_calls_and_refuses_new_ones(*, is_stream: bool) -> None:
    lifetime, call, begun = Lifetime(3600), SimpleNamespace(is_stream=is_stream), asyncio.Event()

    async def run(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(lifetime.intercept(call, run))  # type: ignore[arg-type]  # all that it looks at
    async with asyncio.timeout(PATIENCE_SECONDS):
        await begun.wait()
        lifetime.end()
        with pytest.raises(ShuttingDownError):
            await running
        with pytest.raises(ShuttingDownError):
            await lifetime.intercept(call, run)  # type: ignore[arg-type]  # as above
