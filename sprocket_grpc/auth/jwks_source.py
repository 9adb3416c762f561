"""Loads the public keys of an issuer from a file or an https URL, and refuses those that are weak or unusable."""

import json
import logging
import ssl
import time
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib import request as http

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Algorithms with public keys only: with a symmetric one, every verifier could sign tokens, and `none` needs no key."""

FETCH_SECONDS = 5
"""How long connecting, the TLS handshake, and the whole response may each take."""

_MOST_BYTES = 1 << 20
_SHORTEST_RSA_BITS = 2048

_log = logging.getLogger(__name__)


class _NoRedirects(http.HTTPRedirectHandler):
    """Follows no redirects, because one could lead to a URL without TLS."""

    def redirect_request(
        self, req: http.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Return no request."""


def load_keys(source: str) -> dict[str | None, PyJWK]:
    """Return the usable keys by their ids.

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
    opener = http.build_opener(_NoRedirects, http.HTTPSHandler(context=_context_with_deadline(FETCH_SECONDS)))
    with opener.open(url, timeout=FETCH_SECONDS) as response:
        content: bytes = response.read(_MOST_BYTES)
        return content


def _context_with_deadline(seconds: float) -> ssl.SSLContext:
    """Return a context whose sockets receive until a deadline: a time-out alone begins again at every byte."""
    deadline = time.monotonic() + seconds

    class Socket(ssl.SSLSocket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401  # as the base class
            self.settimeout(max(deadline - time.monotonic(), 0.001))
            return super().recv_into(*args, **kwargs)

    context = ssl.create_default_context()
    context.sslsocket_class = Socket
    return context


def _usable(published: object) -> PyJWK | None:
    """Return a key that verifies signatures with one of our algorithms, or None for any other key."""
    if not isinstance(published, dict):
        return None
    try:
        key = PyJWK(published)
    except (PyJWTError, TypeError, ValueError):
        return None
    if key.algorithm_name not in ALGORITHMS or key.public_key_use not in (None, "sig"):
        return None
    if weakness := _weakness(key):
        _log.warning("SPROCKET_JWT_JWKS: the key %.99r is not used: %s", key.key_id, weakness)
        return None
    return key


def _weakness(key: PyJWK) -> str | None:
    """Return what is wrong with a key of our algorithms, if anything."""
    key_id: object = key.key_id  # PyJWT has not checked it
    if not isinstance(key_id, str | None):
        return "expected text as its kid"
    match key.key:
        case RSAPublicKey() as public if public.key_size < _SHORTEST_RSA_BITS:
            return f"expected an RSA key of at least {_SHORTEST_RSA_BITS} bits, not {public.key_size}"
        case EllipticCurvePublicKey() as public if not isinstance(public.curve, SECP256R1):
            return f"expected the curve P-256, not {public.curve.name}"
        case RSAPublicKey() | EllipticCurvePublicKey() | Ed25519PublicKey() | Ed448PublicKey():
            return None
        case _:
            return "expected a public key; with this private one, every reader can sign tokens"
