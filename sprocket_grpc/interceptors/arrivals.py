"""Receives requests: a limited number at a time, since what has arrived of an unfinished one is in memory.

A request that does not arrive must not keep others from arriving. So it has time while there is room, and hurries while
others wait for its turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sprocket_grpc.errors import ArrivalTimeoutError, OverloadedError
from sprocket_grpc.slots import Turns

HURRIED_SECONDS = 0.25
"""The time that a request has to arrive while others wait. Most arrive with the headers of their call."""

_T = TypeVar("_T")


@dataclass(eq=False, slots=True)
class _Arrival:
    """A request that is being received.

    Attributes:
        holder: Whose turn it has.
        until: When it is given up, by the clock of the event loop.
        limit: Ends it then.
    """

    holder: str
    until: float
    limit: asyncio.Timeout

    def hurry(self) -> None:
        """Give it less time, from now on: it may have arrived while the event loop was busy."""
        until = asyncio.get_running_loop().time() + HURRIED_SECONDS
        if not self.limit.expired() and until < self.until:
            self.until = until
            self.limit.reschedule(until)


class Arrivals:
    """The requests that are being received."""

    def __init__(self, limit: int, share: int, timeout_seconds: float) -> None:
        """Receive `limit` requests at a time, and `share` of one holder, each until a time-out."""
        self._limit = limit
        self._timeout_seconds = timeout_seconds
        self._turns = Turns(limit, share)
        self._arriving: set[_Arrival] = set()

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
        if not self._turns.are_free(holder):
            for each in self._arriving:
                if self._turns.is_full or each.holder == holder:
                    each.hurry()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._turns.take(holder)
        except TimeoutError:
            raise OverloadedError(f"{self._limit} requests that are received") from None

    async def _receive(self, holder: str, receive: Callable[[], Awaitable[_T]]) -> _T:
        seconds = HURRIED_SECONDS if self._turns.is_waiting(holder) else self._timeout_seconds
        began = asyncio.get_running_loop().time()
        until = began + min(seconds, self._timeout_seconds)
        arrival = _Arrival(holder, until, asyncio.timeout_at(until))
        self._arriving.add(arrival)
        try:
            async with arrival.limit:
                return await receive()
        except TimeoutError:
            raise ArrivalTimeoutError(round(arrival.until - began, 3)) from None
        finally:
            self._arriving.discard(arrival)
