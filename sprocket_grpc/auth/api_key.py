"""API keys: secrets for programs, generated here, shown once, and stored only as a hash."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import uuid_utils

from sprocket_grpc.auth.permissions import Identity, with_included
from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.api_key import ValidKey
from sprocket_grpc.storage.postgres.database import Database

PREFIX = "sprocket_"
"""The prefix of all keys, by which secret scanners recognise them in code and logs."""

CACHE_SECONDS = 0.75
"""How long a key is cached. After this time, every server rejects new calls with a revoked key."""

USE_INTERVAL_SECONDS = 60

_MOST_CACHED = 10_000

_SHAPE = re.compile(PREFIX + r"(?P<id>[0-9a-f]{32})_(?P<secret>[0-9a-f]{64})")


class NewKey(NamedTuple):
    """A new key.

    Attributes:
        id: Its id.
        text: The key that its owner sends, which is not stored.
        secret_hash: The hash of the secret, which is stored.
    """

    id: str
    text: str
    secret_hash: bytes


class _Cached(NamedTuple):
    """A look-up that is in progress or finished."""

    until: float
    lookup: asyncio.Task[ValidKey | None]


def make_key() -> NewKey:
    """Return a new key."""
    identifier, secret = uuid_utils.uuid7(), secrets.token_hex(32)
    return NewKey(str(identifier), f"{PREFIX}{identifier.hex}_{secret}", _digest(secret))


class ApiKeys:
    """Authenticates callers by the API keys in the database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._used: set[str] = set()

    async def identify(self, secret: str) -> Identity | None:
        """Return the identity of a key, or None if the key is not valid.

        Raises:
            UnavailableError: The database is unavailable.
        """
        match = _SHAPE.fullmatch(secret)
        if match is None:
            return None
        identifier = str(uuid.UUID(match["id"]))
        key = await self._find(identifier)
        if key is None or not hmac.compare_digest(key.secret_hash, _digest(match["secret"])):
            return None
        self._used.add(identifier)
        factories = None if key.factory_ids is None else frozenset(key.factory_ids)
        permissions = with_included(f"sprocket.{each}" for each in key.permissions)
        return Identity(f"api-key:{key.name}", permissions, factories=factories)

    async def prepare(self) -> None:
        """Do nothing: each key is looked up by itself."""

    async def maintain(self) -> None:
        """Record at intervals which keys were used, until cancelled."""
        while True:
            await asyncio.sleep(USE_INTERVAL_SECONDS)
            with suppress(SprocketError):  # the database is unavailable, which the health check reports
                await self.record_uses()

    async def record_uses(self) -> None:
        """Record which keys were used since the last call."""
        used, self._used = self._used, set()
        if used:
            await self._database.run(api_key.record_use, used)

    async def _find(self, identifier: str) -> ValidKey | None:
        """Return a valid key. Concurrent calls with the same key share one look-up."""
        cached = self._cache.get(identifier)
        if cached is None or cached.until < self._clock():
            cached = self._look_up(identifier)
        return await asyncio.shield(cached.lookup)  # cancelling one call must not cancel the look-up for others

    def _look_up(self, identifier: str) -> _Cached:
        self._cache.pop(identifier, None)
        if len(self._cache) >= _MOST_CACHED:  # evict the oldest: an attacker may try any number of ids
            del self._cache[next(iter(self._cache))]
        lookup = asyncio.create_task(self._database.read(api_key.read(identifier)))
        cached = self._cache[identifier] = _Cached(self._clock() + CACHE_SECONDS, lookup)
        lookup.add_done_callback(lambda _: self._discard_failed(identifier, cached))
        return cached

    def _discard_failed(self, identifier: str, cached: _Cached) -> None:
        failed = cached.lookup.cancelled() or cached.lookup.exception()
        if failed and self._cache.get(identifier) is cached:
            del self._cache[identifier]


def _digest(secret: str) -> bytes:
    # Slow and salted hashes protect passwords, which can be guessed. A secret here is 256 random bits, which cannot be
    # guessed and is unique, so a slow hash would only slow down every call.
    return hashlib.sha256(secret.encode()).digest()
