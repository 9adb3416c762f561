"""Many attackers at once, for a limited time."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import grpc

_BEGINNING = 0.8


async def spread(seconds: float, send: Callable[[int], Awaitable[None]], count: int) -> None:
    """Do something `count` times, begun at equal intervals, and use up the time; what is not done by then is cancelled.

    The intervals leave the last fifth of the time for the last ones.
    """

    async def tried(number: int) -> None:
        await asyncio.sleep(number / count * seconds * _BEGINNING)
        with suppress(OSError):  # the server has closed the connection
            await send(number)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(tried, range(count)), asyncio.sleep(seconds))


async def loops(seconds: float, call: Callable[[], Awaitable[None]], count: int) -> Counter[str]:
    """Let `count` attackers call again and again until the time is up, and return the status codes of the calls."""
    end, codes = time.monotonic() + seconds, Counter[str]()

    async def loop() -> None:
        while time.monotonic() < end:
            try:
                await call()
                codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(loop() for _ in range(count)))
    return codes
