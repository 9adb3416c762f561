"""Runs a program that stops what it has started, also when a signal or an error ends it early."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress

import uvloop


def run_until_signal(main: Coroutine[None, None, None]) -> None:
    """Run a coroutine to its end, or until Ctrl-C or SIGTERM cancels it."""

    async def cancellable() -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101  # this is one
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await main

    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        uvloop.run(cancellable())
