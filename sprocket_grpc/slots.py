"""Limits of how much there is at a time, in all and for each holder: slots are refused, turns are waited for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

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
    """Turns that holders wait for: in all, and for one holder. A holder that waits for its share delays no others."""

    def __init__(self, limit: int, share: int) -> None:
        """Let `limit` holders have a turn at a time, and each of them `share` turns."""
        self._share = share
        self._free = asyncio.Semaphore(limit)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # holders come and go

    @asynccontextmanager
    async def turn(self, holder: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it during the block. The caller limits the wait."""
        share = self._shares.get(holder) or asyncio.Semaphore(self._share)
        self._shares[holder] = share
        async with share, self._free:
            yield
