"""Limits callers who fail to authenticate, by their network address.

Only failures count, and only credentials that this server has not accepted before are refused: many honest callers may
share the address of one proxy with the one who guesses.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from sprocket_grpc.auth.permissions import Identity
from sprocket_grpc.errors import StrangerLimitError, UnauthenticatedError
from sprocket_grpc.interceptors.open_streams import Credentials

_MOST_KNOWN = 10_000
"""The credentials that are remembered, oldest first out."""

_MOST_CHECKED = 100
"""The calls with unknown credentials that are checked at a time for one address, since a check may ask the database."""


Identify: TypeAlias = Callable[[str | bytes | None, bytes | None], Awaitable[Identity]]


class Strangers:
    """The failures of each address, and the credentials that were accepted."""

    def __init__(self, limit: str, identify: Identify) -> None:
        """Let calls of each address fail so often, such as `100/second`.

        Args:
            limit: The rate.
            identify: Returns the identity of credentials, or raises `UnauthenticatedError`.
        """
        self._limit = limits.parse(limit)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._identify = identify
        self._known: dict[bytes, None] = {}
        self._checked: Counter[str] = Counter()

    async def identify(self, address: str, credentials: Credentials) -> Identity:
        """Return the identity of a caller.

        Args:
            address: The network address of the caller.
            credentials: Its credentials.

        Raises:
            StrangerLimitError: The credentials are unknown, and the address has failed too often.
            UnauthenticatedError: The credentials are not valid.
            UnavailableError: The database is unavailable.
        """
        digest = hashlib.sha256(repr(credentials).encode()).digest()
        if digest in self._known:
            return await self._identify_known(address, credentials, digest)
        if self._checked[address] >= _MOST_CHECKED or not await self._limiter.test(self._limit, address):
            raise StrangerLimitError
        self._checked[address] += 1
        try:
            identity = await self._identify_known(address, credentials, digest)
        finally:
            self._forget_check(address)
        self._remember(digest)
        return identity

    async def _identify_known(self, address: str, credentials: Credentials, digest: bytes) -> Identity:
        """Identify a caller; credentials that are no longer valid are those of a stranger from now on."""
        try:
            return await self._identify(*credentials)
        except UnauthenticatedError:
            self._known.pop(digest, None)
            await self._limiter.hit(self._limit, address)
            raise

    def _forget_check(self, address: str) -> None:
        self._checked[address] -= 1
        if not self._checked[address]:
            del self._checked[address]

    def _remember(self, digest: bytes) -> None:
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = None
