"""Many attackers at once, for a limited time."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import grpc


async def all_within(seconds: float, send: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """Do something for each number at once, and use up the time; what is not done by then is cancelled."""

    async def tried(number: int) -> None:
        with suppress(OSError):  # the server has closed the connection
            await send(number)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(tried, numbers), asyncio.sleep(seconds))


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
