"""JSON Web Tokens (RFC 7519): claims about a caller, signed by an issuer."""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jwt
from jwt import PyJWK

from sprocket_grpc.auth.jwks import KeySet
from sprocket_grpc.auth.jwks_source import ALGORITHMS
from sprocket_grpc.auth.permissions import Identity, with_included
from sprocket_grpc.errors import OverloadedError

FACTORIES_CLAIM = "sprocket_factories"
"""The claim with the ids of the factories that a token is limited to. A token without it is not limited."""

_CLOCK_SKEW_SECONDS = 30

_LONGEST_SUBJECT = 255

_MOST_VERIFIED = 10_000
"""The tokens whose verification is remembered, oldest first out: to check a signature takes 0.1 ms."""

_log = logging.getLogger(__name__)


class _Verified(NamedTuple):
    """A token that was verified.

    Attributes:
        key: The key of its signature. It is verified again once the issuer publishes another one under this id.
        identity: The identity in it.
    """

    key: PyJWK
    identity: Identity


class WebTokens:
    """Authenticates callers by the tokens of one issuer."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, token_type: str | None = None) -> None:
        """Create an authenticator.

        Args:
            keys: The public keys of the issuer.
            issuer: The `iss` of the tokens.
            audience: An `aud` of the tokens.
            token_type: The `typ` in their headers, such as `at+jwt` (RFC 9068). By default, any.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._type = token_type and _media_type(token_type)
        self._verified: dict[bytes, _Verified] = {}

    async def identify(self, secret: str) -> Identity | None:
        """Return the identity in a token, or None if the token is not valid.

        Raises:
            OverloadedError: Too many calls with unknown keys wait for the keys of the issuer.
        """
        try:
            return await self._identify(secret)
        except OverloadedError:
            raise
        except Exception as error:  # noqa: BLE001, RUF100  # an attacker controls the token, so any error is possible
            _log.debug("a token is not valid: %r", error)
            return None

    async def prepare(self) -> None:
        """Load the keys before the first call."""
        await self._keys.prepare()

    async def maintain(self) -> None:
        """Refresh the keys at intervals, until cancelled."""
        await self._keys.maintain()

    async def _identify(self, token: str) -> Identity | None:
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        if verified and await self._keys.find(verified.key.key_id) is verified.key:
            return verified.identity if time.time() < verified.identity.expire_time + _CLOCK_SKEW_SECONDS else None
        verified = await self._verify(token)
        if verified is None:
            return None
        self._remember(digest, verified)
        return verified.identity

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        if len(self._verified) >= _MOST_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified

    async def _verify(self, token: str) -> _Verified | None:
        header = jwt.get_unverified_header(token)
        if self._type and _media_type(header.get("typ", "")) != self._type:
            return None
        key = await self._keys.find(header.get("kid")) if header["alg"] in ALGORITHMS else None
        if key is None:
            return None
        claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_CLOCK_SKEW_SECONDS,
            options={"require": ["aud", "exp", "iss", "sub"], "enforce_minimum_key_length": True},
        )
        identity = _identity(claims)
        return _Verified(key, identity) if identity else None


def _media_type(typ: str) -> str:
    """Return a type without the prefix that may be omitted (RFC 7515, section 4.1.9)."""
    return typ.lower().removeprefix("application/")


def _identity(claims: Mapping[str, Any]) -> Identity | None:
    subject = claims["sub"]
    if not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        return None
    return Identity(f"jwt:{subject}", with_included(_scopes(claims)), float(claims["exp"]), _factories(claims))


def _factories(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the factories that a token is limited to, or None if it is not limited.

    Raises:
        ValueError: The claim is not an array of texts.
    """
    if FACTORIES_CLAIM not in claims:
        return None
    factories = claims[FACTORIES_CLAIM]
    if not isinstance(factories, list) or not all(isinstance(each, str) for each in factories):
        raise ValueError(f"expected an array of ids as {FACTORIES_CLAIM}")
    return frozenset(factories)


def _scopes(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield the scopes of a token. Issuers send one text or a list, and name the claim `scope` or `scp`."""
    for name in ("scope", "scp"):
        granted = claims.get(name) or []
        yield from granted.split() if isinstance(granted, str) else granted
