"""The public keys of an issuer of tokens: loaded from a file or an https URL, cached, and refreshed."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib import request as http

from jwt import PyJWK, PyJWTError

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Algorithms with public keys only: with a symmetric one, every verifier could sign tokens, and `none` needs no key."""

REFRESH_SECONDS = 300
SHORTEST_REFRESH_SECONDS = 10
"""The least time between two refreshes, so that tokens with unknown key ids cannot flood the issuer with requests."""

_FETCH_TIMEOUT_SECONDS = 5
_MOST_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class KeySet:
    """The keys that an issuer publishes, by id. If a refresh fails, the last keys stay in use."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a key set from the path of a file or an https URL. Nothing is loaded yet."""
        self._source = source
        self._clock = clock
        self._keys: Mapping[str | None, PyJWK] = {}
        self._last_refresh = -float("inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return a key, or None if it is unknown. An unknown id causes a refresh, because the key may be new."""
        if key_id not in self._keys:
            async with self._lock:  # concurrent calls share one refresh
                if key_id not in self._keys and self._clock() >= self._last_refresh + SHORTEST_REFRESH_SECONDS:
                    await self._refresh()
        return self._keys.get(key_id)

    async def maintain(self) -> None:
        """Refresh the keys at intervals, until cancelled."""
        while True:
            async with self._lock:
                await self._refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _refresh(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_load, self._source)
        except (OSError, ValueError, HTTPException) as error:
            _log.warning("SPROCKET_JWT_JWKS: cannot load the keys; the last %d stay in use: %s", len(self._keys), error)
        self._last_refresh = self._clock()


class _NoRedirects(http.HTTPRedirectHandler):
    """Follows no redirects, because one could lead to a URL without TLS."""

    def redirect_request(
        self, req: http.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Return no request."""


def _load(source: str) -> dict[str | None, PyJWK]:
    """Return the usable keys.

    Raises:
        OSError: The keys cannot be read or fetched.
        ValueError: The content is not a key set, or has no usable key.
        HTTPException: The server does not speak HTTP.
    """
    published = json.loads(_fetch(source) if "://" in source else Path(source).read_bytes())
    listed = published.get("keys") if isinstance(published, dict) else None
    keys = {key.key_id: key for key in map(_usable, listed if isinstance(listed, list) else []) if key}
    if not keys:
        raise ValueError(f"expected a JSON Web Key Set with a key for {' or '.join(ALGORITHMS)}")
    return keys


def _fetch(url: str) -> bytes:
    with http.build_opener(_NoRedirects).open(url, timeout=_FETCH_TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_MOST_BYTES)
        return content


def _usable(published: object) -> PyJWK | None:
    """Return a key that verifies signatures with one of our algorithms, or None for any other key."""
    if not isinstance(published, dict):
        return None
    try:
        key = PyJWK(published)
    except (PyJWTError, TypeError, ValueError):
        return None
    return key if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig") else None
