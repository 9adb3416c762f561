"""The public keys of an issuer of tokens: cached by id, and refreshed."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from jwt import PyJWK

from sprocket_grpc.auth.jwks_source import load_keys
from sprocket_grpc.errors import OverloadedError

REFRESH_SECONDS = 300
SHORTEST_REFRESH_SECONDS = 10
"""The least time between two refreshes, so that tokens with unknown key ids cannot flood the issuer with requests."""

MOST_WAITING = 32
"""The most calls that wait for a refresh, so that tokens with unknown key ids cannot take the slots of all calls."""

_REFRESH_TIMEOUT_SECONDS = 10

_PREPARE_SECONDS = 2

_log = logging.getLogger(__name__)


class KeySet:
    """The keys that an issuer publishes, by id. If a refresh fails, the last keys stay in use."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a key set from the path of a file or an https URL. Nothing is loaded yet."""
        self._source = source
        self._clock = clock
        self._keys: Mapping[str | None, PyJWK] = {}
        self._last_refresh = -float("inf")
        self._running: asyncio.Task[None] | None = None
        self._waiting = 0

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return a key, or None if it is unknown. An unknown id causes a refresh, because the key may be new.

        Raises:
            OverloadedError: Too many calls with unknown keys wait for a refresh.
        """
        may_refresh = self._clock() >= self._last_refresh + SHORTEST_REFRESH_SECONDS
        if key_id not in self._keys and (self._running or may_refresh):
            await self._wait_for_refresh()
        return self._keys.get(key_id)

    async def prepare(self) -> None:
        """Load the keys, so that the first callers need not wait for them. A slow issuer is not waited for."""
        await asyncio.wait([self._refresh()], timeout=_PREPARE_SECONDS)

    async def maintain(self) -> None:
        """Refresh the keys at intervals, until cancelled."""
        while True:
            await asyncio.wait([self._refresh()])
            await asyncio.sleep(REFRESH_SECONDS)

    async def _wait_for_refresh(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise OverloadedError(f"{MOST_WAITING} calls that wait for the keys of the issuer of tokens")
        self._waiting += 1
        try:
            await asyncio.wait([self._refresh()])  # a cancelled call does not cancel the refresh of the others
        finally:
            self._waiting -= 1

    def _refresh(self) -> asyncio.Task[None]:
        """Return the refresh that is running, or start one."""
        if self._running is None:
            self._running = asyncio.create_task(self._load())
        return self._running

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(_REFRESH_TIMEOUT_SECONDS):
                self._keys = await asyncio.to_thread(load_keys, self._source)
        except Exception as error:  # noqa: BLE001, RUF100  # the issuer decides what is sent, so any error is possible
            _log.warning("SPROCKET_JWT_JWKS: cannot load the keys; the last %d stay in use: %s", len(self._keys), error)
        finally:
            self._last_refresh, self._running = self._clock(), None
