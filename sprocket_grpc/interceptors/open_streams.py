"""Checks the credentials of open streams again and again, whether or not anything is sent on them.

Revocation, expiry and removed permissions end a stream. A database that is unavailable ends none.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple

from sprocket_grpc.auth.permissions import Identity
from sprocket_grpc.errors import OutOfReachError, PermissionDeniedError, SprocketError, UnauthenticatedError

RECHECK_SECONDS = 1
"""The interval of checks. A look-up may be cached for up to `auth.api_key.CACHE_SECONDS` more: together below 2 s."""

_CHECK_TIMEOUT_SECONDS = 10

_log = logging.getLogger(__name__)


class Credentials(NamedTuple):
    """What authenticates a call.

    Attributes:
        authorization: The metadata `authorization`.
        certificate_pem: The client certificate of the connection.
    """

    authorization: str | bytes | None
    certificate_pem: bytes | None


@dataclass(eq=False)
class _Stream:
    """An open stream.

    Attributes:
        required: The permission that its method requires.
        factories: The factories that its caller was limited to when it began.
        limit: Interrupts it.
        error: Why it was interrupted, if it was.
    """

    required: str
    factories: frozenset[str] | None
    limit: asyncio.Timeout
    error: SprocketError | None = None

    def end(self, error: SprocketError) -> None:
        """Interrupt it."""
        if self.error is None:
            self.error = error
            self.limit.reschedule(asyncio.get_running_loop().time())


@dataclass(frozen=True)
class _Checks:
    """The streams with the same credentials, which one task checks together."""

    task: asyncio.Task[None]
    streams: set[_Stream]


class OpenStreams:
    """The open streams by their credentials: any number of streams with one key costs one look-up per interval."""

    def __init__(self, identify: Callable[[str | bytes | None, bytes | None], Awaitable[Identity]]) -> None:
        """Create it with the function that authenticates credentials."""
        self._identify = identify
        self._checks: dict[Credentials, _Checks] = {}

    async def run(
        self, credentials: Credentials, required: str, identity: Identity, stream: Callable[[], Awaitable[None]]
    ) -> None:
        """Run a stream as long as its credentials are valid and grant what they granted when it began.

        Args:
            credentials: The credentials.
            required: The permission that the method requires.
            identity: The caller, as the credentials have identified it.
            stream: The stream.

        Raises:
            UnauthenticatedError: They were revoked, or have expired.
            PermissionDeniedError: They do not grant the permission any more.
            OutOfReachError: They were limited to fewer factories.
        """
        opened = _Stream(required, identity.factories, asyncio.timeout(None))
        checks = self._checks.get(credentials) or self._begin(credentials)
        try:
            async with opened.limit:
                checks.streams.add(opened)
                await stream()
        except TimeoutError:
            if opened.error is None:
                raise  # of something inside
            raise opened.error from None
        finally:
            self._leave(credentials, checks, opened)

    def _begin(self, credentials: Credentials) -> _Checks:
        streams: set[_Stream] = set()
        # In a context of its own, or its log lines would have the request id of the first stream.
        checks = _Checks(asyncio.create_task(self._check_repeatedly(credentials, streams), context=Context()), streams)
        self._checks[credentials] = checks
        return checks

    def _leave(self, credentials: Credentials, checks: _Checks, stream: _Stream) -> None:
        checks.streams.discard(stream)
        if not checks.streams:
            checks.task.cancel()
            del self._checks[credentials]

    async def _check_repeatedly(self, credentials: Credentials, streams: set[_Stream]) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
                    await self._check(credentials, streams)
            except (SprocketError, TimeoutError) as error:
                _log.debug("open streams cannot be checked now: %r", error)
            except Exception:
                _log.exception("a check of open streams failed")  # the next one may succeed

    async def _check(self, credentials: Credentials, streams: set[_Stream]) -> None:
        identity = await self._valid_identity(credentials)
        for stream in streams:
            if identity is None:
                stream.end(UnauthenticatedError())
            elif stream.required not in identity.permissions:
                stream.end(PermissionDeniedError(stream.required))
            elif identity.factories is not None and (stream.factories is None or stream.factories - identity.factories):
                stream.end(OutOfReachError("other factories"))

    async def _valid_identity(self, credentials: Credentials) -> Identity | None:
        try:
            identity = await self._identify(*credentials)
        except UnauthenticatedError:
            return None
        return identity if time.time() < identity.expire_time else None  # without the tolerance for new calls
