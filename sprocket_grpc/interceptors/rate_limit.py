"""Limits the rate of calls of each principal, with a sliding window."""

import asyncio
import logging
import time
from typing import Any

import limits
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from pydantic import SecretStr

from sprocket_grpc.caller import current_caller
from sprocket_grpc.errors import RateLimitedError
from sprocket_grpc.interceptors.call import Call, CallNext

ANSWER_TIMEOUT_SECONDS = 0.25
"""The longest that a call waits for Redis."""

_PAUSE_SECONDS = 1

_log = logging.getLogger(__name__)


class _Redis:
    """A Redis that counts for all replicas, by connections that this process closes itself: limits closes none."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import ConnectionPool  # noqa: PLC0415  # 0.3 s, only if replicas count together

        self._pool = ConnectionPool.from_url(url)
        options: dict[str, Any] = {"connection_pool": self._pool}  # documented, but the types know plain values only
        self.storage = RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", **options)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class RateLimit:
    """Counts the calls of each principal, in this process or in a Redis that replicas share.

    While Redis is unavailable, calls are let through: the limit protects the service from an outage, and refusing all
    calls would be one. The next try is a second later.
    """

    def __init__(self, limit: str, redis_url: SecretStr | None) -> None:
        self._limit = limits.parse(limit)
        # Two numbers per principal. The moving window keeps the time of every call, for five times the CPU.
        self._redis = _Redis(redis_url.get_secret_value()) if redis_url else None
        self._limiter = SlidingWindowCounterRateLimiter(self._redis.storage if self._redis else MemoryStorage())
        self._is_unavailable = False
        self._retry_at = 0.0

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Let a call through if its principal is within the limit.

        Raises:
            RateLimitedError: It is over the limit.
        """
        principal = current_caller().principal
        if wait_seconds := await self._wait_seconds(principal):
            raise RateLimitedError(principal, str(self._limit), wait_seconds)
        call.is_uncounted = self._is_unavailable
        return await call_next(call)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis:
            await self._redis.close()

    async def _wait_seconds(self, principal: str) -> float:
        """Count a call, and return the seconds after which it may be retried; 0 lets it through."""
        if time.monotonic() < self._retry_at:
            return 0
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                wait_seconds = await self._count(principal)
        except (StorageError, TimeoutError) as error:
            self._note_unavailable(error)
            return 0
        self._note_available()
        return wait_seconds

    async def _count(self, principal: str) -> float:
        if await self._limiter.hit(self._limit, principal):
            return 0
        window = await self._limiter.get_window_stats(self._limit, principal)
        return max(window.reset_time - time.time(), 0.001)  # the window may have moved meanwhile

    def _note_unavailable(self, error: Exception) -> None:
        if not self._is_unavailable:
            _log.warning("the rate limit is off: Redis does not answer: %s", type(error.__cause__ or error).__name__)
        self._is_unavailable = True
        self._retry_at = time.monotonic() + _PAUSE_SECONDS

    def _note_available(self) -> None:
        if self._is_unavailable:
            _log.info("the rate limit is on again")
        self._is_unavailable = False
