"""Finds out who makes a call: by an API key or a bearer token, or else by the certificate of the connection."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from sprocket_grpc.auth import api_key
from sprocket_grpc.auth.api_key import ApiKeys
from sprocket_grpc.auth.jwks import KeySet
from sprocket_grpc.auth.jwt import WebTokens
from sprocket_grpc.auth.mtls import Certificates
from sprocket_grpc.auth.permissions import Identity
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import UnauthenticatedError
from sprocket_grpc.storage.postgres.database import Database


class Bearers(Protocol):
    """Knows callers by a secret that they send."""

    async def identify(self, secret: str) -> Identity | None:
        """Return whose secret it is, or None if it does not hold.

        Raises:
            UnavailableError: That cannot be found out now.
        """

    async def keep_up(self) -> None:
        """Do what is to be done in the background, for ever."""


class Authentication:
    """Knows callers in the ways that are turned on."""

    def __init__(
        self, api_keys: Bearers | None = None, tokens: Bearers | None = None, certificates: Certificates | None = None
    ) -> None:
        self._api_keys = api_keys
        self._tokens = tokens
        self._certificates = certificates

    async def identify(self, authorization: str | bytes | None, shown: Mapping[str, Iterable[bytes]]) -> Identity:
        """Return who makes a call.

        Args:
            authorization: The metadata of that name. If there is any, it alone counts.
            shown: What gRPC says about the other side of the connection.

        Raises:
            UnauthenticatedError: There are no credentials, or none that hold.
            UnavailableError: That cannot be found out now.
        """
        identity = None
        if authorization is not None:
            identity = await self._identify_bearer(str(authorization))
        elif self._certificates:
            identity = self._certificates.identify(shown)
        if identity is None:
            raise UnauthenticatedError
        return identity

    async def keep_up(self) -> None:
        """Do what is to be done in the background, for ever."""
        await asyncio.gather(*(bearers.keep_up() for bearers in (self._api_keys, self._tokens) if bearers))

    async def _identify_bearer(self, authorization: str) -> Identity | None:
        scheme, _, secret = authorization.partition(" ")
        bearers = self._api_keys if secret.startswith(api_key.PREFIX) else self._tokens
        return await bearers.identify(secret) if bearers and scheme.lower() == "bearer" else None


def create_authentication(settings: Settings, database: Database) -> Authentication | None:
    """Make what the settings turn on, or nothing if callers need not say who they are."""
    if not settings.authenticates:
        return None
    return Authentication(
        ApiKeys(database) if settings.api_keys else None,
        _web_tokens(settings),
        Certificates(settings.tls_client_rights or {}) if settings.tls_client_ca else None,
    )


def _web_tokens(settings: Settings) -> WebTokens | None:
    if settings.jwt_jwks is None or settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    return WebTokens(KeySet(settings.jwt_jwks), settings.jwt_issuer, settings.jwt_audience)
