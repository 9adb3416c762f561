"""Limits of how much there is at a time, in all and for each holder: slots are refused, turns are waited for."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sprocket_grpc.errors import OverloadedError, PrincipalLimitError


class Slots:
    """The slots for one kind of thing, such as calls: in all, and for one holder."""

    def __init__(self, limit: int, share: int, kind: str) -> None:
        """Create free slots.

        Args:
            limit: The number of slots.
            share: The largest number that one holder has at a time.
            kind: What takes slots, in the plural, for people.
        """
        self._limit = limit
        self._share = share
        self._kind = kind
        self._taken = 0
        self._held: Counter[str] = Counter()

    def take(self, holder: str, count: int = 1) -> None:
        """Take slots.

        Raises:
            OverloadedError: Too few are free.
            PrincipalLimitError: The holder would have more than its share.
        """
        if self._taken + count > self._limit:
            raise OverloadedError(f"{self._limit} {self._kind}")
        if self._held[holder] + count > self._share:
            raise PrincipalLimitError(holder, f"{self._share} {self._kind}")
        self._taken += count
        self._held[holder] += count

    def release(self, holder: str, count: int = 1) -> None:
        """Release slots that were taken."""
        self._taken -= count
        self._held[holder] -= count
        if not self._held[holder]:
            del self._held[holder]  # holders come and go


class Turns:
    """Turns that are waited for.

    Of those who wait, the holder with the fewest turns is next. Holders with as many alternate.
    """

    def __init__(self, limit: int, share: int) -> None:
        """Give `limit` turns at a time, and at most `share` of them to one holder."""
        self._free = limit
        self._share = share
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def is_full(self) -> bool:
        """Whether no turn is free."""
        return not self._free

    def are_free(self, holder: str) -> bool:
        """Whether a holder need not wait."""
        return bool(self._free) and self._held[holder] < self._share

    def is_waiting(self, holder: str) -> bool:
        """Whether turns of a holder are waited for, or those of anybody while none is free."""
        return holder in self._waiting or (self.is_full and bool(self._waiting))

    @asynccontextmanager
    async def turn(self, holder: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it during the block. The caller limits the wait."""
        await self.take(holder)
        try:
            yield
        finally:
            self.give_back(holder)

    async def take(self, holder: str) -> None:
        """Wait for a turn. The caller limits the wait."""
        if self.are_free(holder):  # whoever waits meanwhile has its share
            self._grant(holder)
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # it was cancelled just as its turn came
                self.give_back(holder)
            else:
                self._leave(holder, future)
            raise

    def give_back(self, holder: str) -> None:
        """Give a turn back: whoever is next has it."""
        self._free += 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]  # holders come and go
        while ready := [each for each in self._waiting if self.are_free(each)]:
            self._pass_on(min(ready, key=lambda each: self._held[each]))

    def _pass_on(self, holder: str) -> None:
        future = self._waiting[holder][0]
        self._leave(holder, future)
        if holder in self._waiting:
            self._waiting[holder] = self._waiting.pop(holder)  # behind the others
        if not future.cancelled():
            self._grant(holder)
            future.set_result(None)

    def _grant(self, holder: str) -> None:
        self._free -= 1
        self._held[holder] += 1

    def _leave(self, holder: str, future: asyncio.Future[None]) -> None:
        queue = self._waiting.get(holder, deque())
        if future in queue:  # a cancelled one may have been passed over
            queue.remove(future)
        if not queue:
            self._waiting.pop(holder, None)
