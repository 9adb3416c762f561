"""API keys: what they look like, and who has one. A key is a secret for programs, made here and shown once."""

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
"""What all keys begin with, so that programs that look for secrets in code and logs can find them."""

CACHE_SECONDS = 2
"""For how long a key is believed to be what it was: a revoked one is refused everywhere after that."""

USE_INTERVAL_SECONDS = 60

_MOST_CACHED = 10_000

_SHAPE = re.compile(PREFIX + r"(?P<id>[0-9a-f]{32})_(?P<secret>[0-9a-f]{64})")


class NewKey(NamedTuple):
    """A key that was just made.

    Attributes:
        id: Its id.
        text: What its owner sends; it is not kept.
        secret_hash: What is kept of it.
    """

    id: str
    text: str
    secret_hash: bytes


class _Cached(NamedTuple):
    """A look-up, under way or done."""

    until: float
    lookup: asyncio.Task[ValidKey | None]


def make_key() -> NewKey:
    """Make a key."""
    identifier, secret = uuid_utils.uuid7(), secrets.token_hex(32)
    return NewKey(str(identifier), f"{PREFIX}{identifier.hex}_{secret}", _digest(secret))


class ApiKeys:
    """Knows callers by the keys in the database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._used: set[str] = set()

    async def identify(self, secret: str) -> Identity | None:
        """Return whose key it is, or None if it does not hold.

        Raises:
            UnavailableError: The database cannot be asked.
        """
        match = _SHAPE.fullmatch(secret)
        if match is None:
            return None
        identifier = str(uuid.UUID(match["id"]))
        key = await self._find(identifier)
        if key is None or not hmac.compare_digest(key.secret_hash, _digest(match["secret"])):
            return None
        self._used.add(identifier)
        return Identity(f"api-key:{key.name}", with_included(f"sprocket.{right}" for right in key.rights))

    async def keep_up(self) -> None:
        """Record at intervals which keys were used, for ever."""
        while True:
            await asyncio.sleep(USE_INTERVAL_SECONDS)
            with suppress(SprocketError):  # the database is away, which its health says
                await self.record_uses()

    async def record_uses(self) -> None:
        """Record which keys were used since the last time."""
        used, self._used = self._used, set()
        if used:
            await self._database.run(api_key.record_use, used)

    async def _find(self, identifier: str) -> ValidKey | None:
        """Look a key up, once for all calls that need it at the same time: many calls use few keys."""
        cached = self._cache.get(identifier)
        if cached is None or cached.until < self._clock():
            cached = self._look_up(identifier)
        return await asyncio.shield(cached.lookup)  # a call that is cancelled does not cancel it for the others

    def _look_up(self, identifier: str) -> _Cached:
        self._cache.pop(identifier, None)
        if len(self._cache) >= _MOST_CACHED:  # somebody tries ids; what is oldest goes
            del self._cache[next(iter(self._cache))]
        lookup = asyncio.create_task(self._database.read(api_key.read(identifier)))
        cached = self._cache[identifier] = _Cached(self._clock() + CACHE_SECONDS, lookup)
        lookup.add_done_callback(lambda _: self._forget_failed(identifier, cached))
        return cached

    def _forget_failed(self, identifier: str, cached: _Cached) -> None:
        failed = cached.lookup.cancelled() or cached.lookup.exception()
        if failed and self._cache.get(identifier) is cached:
            del self._cache[identifier]


def _digest(secret: str) -> bytes:
    # Slow and salted hashes are for what people make up. A secret here is 256 random bits: there is no dictionary
    # to try, no two are alike, and a slow hash would only make each call slow.
    return hashlib.sha256(secret.encode()).digest()
