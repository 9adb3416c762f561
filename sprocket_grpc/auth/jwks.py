"""The public keys of an issuer of tokens: read from a file or fetched by https, kept, and looked at again."""

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
"""With a public key to each. With the others, whoever can check a token can make one, or anyone can."""

REFRESH_SECONDS = 300
SHORTEST_REFRESH_SECONDS = 10
"""Anyone can send tokens with an unknown key, and must not be able to make us ask the issuer each time."""

_FETCH_TIMEOUT_SECONDS = 5
_MOST_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class KeySet:
    """The keys that an issuer publishes, by their ids. If they cannot be had, those we had stay."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the path of a file, or an https URL."""
        self._source = source
        self._clock = clock
        self._keys: Mapping[str | None, PyJWK] = {}
        self._tried = -float("inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return a key, or None. One that is not known may be new, so that the issuer is asked for it."""
        if key_id not in self._keys:
            async with self._lock:  # all who wait for the same answer ask once
                if key_id not in self._keys and self._clock() >= self._tried + SHORTEST_REFRESH_SECONDS:
                    await self._refresh()
        return self._keys.get(key_id)

    async def keep_up(self) -> None:
        """Look at the keys at intervals, for ever."""
        while True:
            async with self._lock:
                await self._refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _refresh(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_load, self._source)
        except (OSError, ValueError, HTTPException) as error:
            _log.warning("SPROCKET_JWT_JWKS: the keys cannot be had, %d stay: %s", len(self._keys), error)
        self._tried = self._clock()


class _NoRedirects(http.HTTPRedirectHandler):
    """Follows none: it could lead to where nothing is encrypted."""

    def redirect_request(
        self, req: http.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Make no request."""


def _load(source: str) -> dict[str | None, PyJWK]:
    """Return the usable keys.

    Raises:
        OSError: They cannot be read or fetched.
        ValueError: They are no key set, or none of them is usable.
        HTTPException: What answers speaks no HTTP.
    """
    published = json.loads(_fetch(source) if "://" in source else Path(source).read_bytes())
    listed = published.get("keys") if isinstance(published, dict) else None
    keys = {key.key_id: key for key in map(_usable, listed if isinstance(listed, list) else []) if key}
    if not keys:
        raise ValueError(f"there is no key for {', '.join(ALGORITHMS)}")
    return keys


def _fetch(url: str) -> bytes:
    with http.build_opener(_NoRedirects).open(url, timeout=_FETCH_TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_MOST_BYTES)
        return content


def _usable(published: object) -> PyJWK | None:
    """Return a key that checks signatures by one of our algorithms; issuers publish others too."""
    if not isinstance(published, dict):
        return None
    try:
        key = PyJWK(published)
    except (PyJWTError, TypeError, ValueError):
        return None
    return key if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig") else None
