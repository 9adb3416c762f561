"""Lets every caller make only so many calls in a time, by a window that slides."""

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
"""How long a call waits for Redis at most."""

_PAUSE_SECONDS = 1

_log = logging.getLogger(__name__)


class RateLimit:
    """Counts the calls of each caller, in this process or in a Redis that replicas share.

    While Redis is away, calls are let through: a limit protects the service, and to refuse everybody because nobody
    can count would be the very outage that it is there to prevent. Redis is asked again every second.
    """

    def __init__(self, limit: str, redis_url: SecretStr | None) -> None:
        self._limit = limits.parse(limit)
        # Two numbers for each caller. The moving window keeps the time of every call: five times the CPU.
        self._storage = _storage(redis_url)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._is_away = False
        self._ask_again_at = 0.0

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Let a call through if its caller has any left.

        Raises:
            RateLimitedError: It has none.
        """
        principal = current_caller().principal
        if wait_seconds := await self._wait_seconds(principal):
            raise RateLimitedError(principal, str(self._limit), wait_seconds)
        call.is_uncounted = self._is_away
        return await call_next(call)

    async def close(self) -> None:
        """Close the connections to Redis, if there are any."""
        if isinstance(self._storage, RedisStorage):
            client: Any = self._storage.bridge
            await client.storage.aclose()

    async def _wait_seconds(self, principal: str) -> float:
        """Count a call, and return after how long it may come again; 0 lets it through."""
        if time.monotonic() < self._ask_again_at:
            return 0
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                wait_seconds = await self._count(principal)
        except (StorageError, TimeoutError) as error:
            self._note_away(error)
            return 0
        self._note_answer()
        return wait_seconds

    async def _count(self, principal: str) -> float:
        if await self._limiter.hit(self._limit, principal):
            return 0
        window = await self._limiter.get_window_stats(self._limit, principal)
        return max(window.reset_time - time.time(), 0.001)  # it may have moved on meanwhile

    def _note_away(self, error: Exception) -> None:
        if not self._is_away:
            _log.warning("calls are not limited: Redis does not answer: %s", type(error.__cause__ or error).__name__)
        self._is_away = True
        self._ask_again_at = time.monotonic() + _PAUSE_SECONDS

    def _note_answer(self) -> None:
        if self._is_away:
            _log.info("calls are limited again")
        self._is_away = False


def _storage(redis_url: SecretStr | None) -> MemoryStorage | RedisStorage:
    if redis_url is None:
        return MemoryStorage()
    return RedisStorage(f"async+{redis_url.get_secret_value()}", wrap_exceptions=True, implementation="redispy")
