"""The end of a server waits for what its calls still have to do, but not for ever."""

import asyncio
from typing import Any

import pytest

from sprocket_grpc.server import run
from sprocket_grpc.server.run import wait_for_cancelled_calls

PATIENCE_SECONDS = 15


async def cleaning(cleaned: asyncio.Event) -> None:
    """Clean up when cancelled, which takes a moment."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        cleaned.set()


async def test_cancelled_calls_are_waited_for_until_they_have_cleaned_up() -> None:
    others, cleaned = asyncio.all_tasks(), asyncio.Event()
    call = asyncio.create_task(cleaning(cleaned))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait_for(wait_for_cancelled_calls(others - {asyncio.current_task()}), PATIENCE_SECONDS)
    assert cleaned.is_set()


async def test_a_call_that_does_not_end_and_a_task_that_is_no_call_do_not_keep_the_server_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_CANCEL_SECONDS", 0.05)
    hanging: list[asyncio.Task[Any]] = [asyncio.create_task(asyncio.Event().wait())]
    await asyncio.wait_for(asyncio.shield(asyncio.create_task(wait_for_cancelled_calls())), PATIENCE_SECONDS)
    monkeypatch.setattr(run, "_CANCEL_SECONDS", 3600)
    await asyncio.wait_for(wait_for_cancelled_calls([*hanging, *asyncio.all_tasks()]), PATIENCE_SECONDS)
    hanging[0].cancel()
