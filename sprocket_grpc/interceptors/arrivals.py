"""Receives requests: a limited number at a time, since what has arrived of an unfinished one is in memory.

A request that does not arrive must not keep others from arriving. So it has time while there is room, and hurries while
others wait for its turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sprocket_grpc.errors import ArrivalTimeoutError, OverloadedError
from sprocket_grpc.interceptors.time_limits import TimeLimit, TimeLimits
from sprocket_grpc.slots import Turns

HURRIED_SECONDS = 0.25
"""The time that a request has to arrive while others wait. Most arrive with the headers of their call."""

_T = TypeVar("_T")


class Arrivals:
    """The requests that are being received."""

    def __init__(self, limit: int, share: int, timeout_seconds: float) -> None:
        """Receive `limit` requests at a time, and `share` of one holder, each until a time-out."""
        self._limit = limit
        self._timeout_seconds = timeout_seconds
        self._turns = Turns(limit, share)
        self._limits = TimeLimits()
        self._arriving: dict[TimeLimit, str] = {}

    async def receive(self, holder: str, receive: Callable[[], Awaitable[_T]]) -> _T:
        """Receive a request.

        Raises:
            ArrivalTimeoutError: It did not arrive in time.
            OverloadedError: Its turn to be received did not come in time.
        """
        await self._take(holder)
        try:
            return await self._receive(holder, receive)
        finally:
            self._turns.give_back(holder)

    async def _take(self, holder: str) -> None:
        if self._turns.are_free(holder):
            await self._turns.take(holder)  # at once
            return
        self._hurry(holder)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._turns.take(holder)
        except TimeoutError:
            raise OverloadedError(f"{self._limit} requests that are received") from None

    def _hurry(self, holder: str) -> None:
        """Give those for which a holder waits less time, from now on: they may have arrived while the loop was busy."""
        until = asyncio.get_running_loop().time() + HURRIED_SECONDS
        for limit, has_turn in self._arriving.items():
            if self._turns.is_full or has_turn == holder:
                limit.shorten(until)

    async def _receive(self, holder: str, receive: Callable[[], Awaitable[_T]]) -> _T:
        seconds = HURRIED_SECONDS if self._turns.is_waiting(holder) else self._timeout_seconds
        began = asyncio.get_running_loop().time()
        limit = self._limits.start(began + min(seconds, self._timeout_seconds))
        self._arriving[limit] = holder
        try:
            async with limit.timeout:
                return await receive()
        except TimeoutError:
            raise ArrivalTimeoutError(round(limit.until - began, 3)) from None
        finally:
            del self._arriving[limit]
            self._limits.stop(limit)
