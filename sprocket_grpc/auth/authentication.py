"""Authenticates calls: by an API key or bearer token, or else by the client certificate of the connection."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from sprocket_grpc.auth import api_key
from sprocket_grpc.auth.api_key import ApiKeys
from sprocket_grpc.auth.permissions import PERMISSIONS, PREFIX, Identity
from sprocket_grpc.config.settings import Settings, SettingsError
from sprocket_grpc.errors import UnauthenticatedError
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.telemetry.background import BackgroundTask

if TYPE_CHECKING:
    from sprocket_grpc.auth.mtls import Certificates

_BEARER = re.compile(r"bearer +(?P<secret>[^ ]+)", re.IGNORECASE)
"""The scheme in any case, one or more spaces, and the secret (RFC 9110, section 11.4)."""


class BearerAuthenticator(Protocol):
    """Authenticates callers by a secret that they send."""

    async def identify(self, secret: str) -> Identity | None:
        """Return the identity of a secret, or None if the secret is not valid.

        Raises:
            UnavailableError: The database is unavailable.
            OverloadedError: Too many calls wait for the keys of the issuer.
        """

    async def prepare(self) -> None:
        """Do what the first call would wait for, for a short time at most."""

    async def maintain(self) -> None:
        """Do the work in the background, until cancelled."""


class Authentication:
    """Authenticates callers by the methods that are turned on."""

    def __init__(
        self,
        api_keys: BearerAuthenticator | None = None,
        tokens: BearerAuthenticator | None = None,
        certificates: "Certificates | None" = None,
    ) -> None:
        self._api_keys = api_keys
        self._tokens = tokens
        self._certificates = certificates

    async def identify(self, authorization: str | bytes | None, certificate_pem: bytes | None) -> Identity:
        """Return the identity of the caller.

        Args:
            authorization: The metadata `authorization`. If it is sent, the client certificate is ignored.
            certificate_pem: The client certificate of the connection, which TLS has verified.

        Raises:
            UnauthenticatedError: The credentials are missing or not valid.
            UnavailableError: The database is unavailable.
            OverloadedError: Too many calls wait for the keys of the issuer.
        """
        identity = None
        if authorization is not None:
            identity = await self._identify_bearer(str(authorization))
        elif self._certificates and certificate_pem:
            identity = self._certificates.identify(certificate_pem)
        if identity is None:
            raise UnauthenticatedError
        return identity

    async def prepare(self) -> None:
        """Do what the first calls would wait for, for a short time at most."""
        for each in (self._api_keys, self._tokens):
            if each:
                await each.prepare()

    def tasks(self) -> Iterator[BackgroundTask]:
        """Yield the background tasks of the methods that are turned on."""
        if self._api_keys:
            yield BackgroundTask("api-keys", self._api_keys.maintain)
        if self._tokens:
            yield BackgroundTask("web-tokens", self._tokens.maintain)

    async def _identify_bearer(self, authorization: str) -> Identity | None:
        match = _BEARER.fullmatch(authorization)
        if match is None:
            return None
        authenticator = self._api_keys if match["secret"].startswith(api_key.PREFIX) else self._tokens
        return await authenticator.identify(match["secret"]) if authenticator else None


def create_authentication(settings: Settings, database: Database) -> Authentication | None:
    """Return the authentication in the settings, or None if it is turned off.

    Raises:
        SettingsError: A permission in the settings does not exist.
    """
    if not settings.authenticates:
        return None
    return Authentication(
        ApiKeys(database) if settings.api_keys else None,
        _web_tokens(settings),
        _certificates(settings) if settings.tls_client_ca else None,
    )


def _certificates(settings: Settings) -> "Certificates":
    """Return the authenticator of client certificates.

    Raises:
        SettingsError: A permission does not exist.
    """
    permissions = settings.tls_client_rights or {}
    if {PREFIX + each for granted in permissions.values() for each in granted} - set(PERMISSIONS):
        known = ", ".join(each.removeprefix(PREFIX) for each in PERMISSIONS)
        raise SettingsError(f"SPROCKET_TLS_CLIENT_RIGHTS: expected permissions among {known}")
    from sprocket_grpc.auth.mtls import Certificates  # noqa: PLC0415  # only for SPROCKET_TLS_CLIENT_CA

    return Certificates(permissions, common_names=settings.tls_client_common_names)


def _web_tokens(settings: Settings) -> BearerAuthenticator | None:
    if settings.jwt_jwks is None or settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    from sprocket_grpc.auth.jwks import KeySet  # noqa: PLC0415  # 40 ms, only for SPROCKET_JWT_JWKS
    from sprocket_grpc.auth.jwt import WebTokens  # noqa: PLC0415  # as above

    return WebTokens(KeySet(settings.jwt_jwks), settings.jwt_issuer, settings.jwt_audience, settings.jwt_type)
