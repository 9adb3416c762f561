"""JSON Web Tokens (RFC 7519): what an issuer says about a caller, under its signature."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import jwt

from sprocket_grpc.auth.jwks import ALGORITHMS, KeySet
from sprocket_grpc.auth.permissions import Identity, with_included

_CLOCK_SKEW_SECONDS = 30

_LONGEST_SUBJECT = 255

_log = logging.getLogger(__name__)


class WebTokens:
    """Knows callers by the tokens of one issuer."""

    def __init__(self, keys: KeySet, issuer: str, audience: str) -> None:
        """Take the keys of an issuer, its name, and the name under which it knows us."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def identify(self, secret: str) -> Identity | None:
        """Return whom a token is about, or None if it does not hold."""
        try:
            return await self._identify(secret)
        except Exception as error:  # noqa: BLE001, RUF100  # whatever is in it, and a stranger may have made it
            _log.debug("a token does not hold: %r", error)
            return None

    async def keep_up(self) -> None:
        """Look for new keys, for ever."""
        await self._keys.keep_up()

    async def _identify(self, token: str) -> Identity | None:
        header = jwt.get_unverified_header(token)
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
        return _identity(claims)


def _identity(claims: Mapping[str, Any]) -> Identity | None:
    subject = claims["sub"]
    if not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        return None
    return Identity(f"jwt:{subject}", with_included(_scopes(claims)))


def _scopes(claims: Mapping[str, Any]) -> Iterator[str]:
    """Return what the token grants; some issuers say it in one text, some in a list, and some call it `scp`."""
    for name in ("scope", "scp"):
        granted = claims.get(name) or []
        yield from granted.split() if isinstance(granted, str) else granted
