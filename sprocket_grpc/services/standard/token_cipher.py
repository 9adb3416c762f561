"""Encrypts and authenticates tokens that a client brings back: opaque, impossible to forge, bound to their request.

They are Fernet tokens (AES-CBC with HMAC-SHA256). A token grants nothing: it only says where to continue.
"""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sprocket_grpc.storage import token_key
from sprocket_grpc.storage.postgres.database import Database

_BINDING_BYTES = 16


class TokenError(Exception):
    """A token is not one that this request was given. The text says why, as a predicate."""


class TokenCipher:
    """Encrypts and authenticates tokens, with keys that all replicas share."""

    def __init__(self, database: Database, secrets: Sequence[str] = ()) -> None:
        """Take keys from secrets that the replicas share, or else from the database.

        Args:
            database: Where the keys are if there are no secrets.
            secrets: The first encrypts, all decrypt. To rotate, append the new one on all replicas, then put it first.
        """
        self._database = database
        self._fernet = MultiFernet(_fernets([_derive(secret) for secret in secrets])) if secrets else None

    async def encrypt(self, bound_to: bytes, content: bytes) -> str:
        """Make a token that carries `content`.

        Args:
            bound_to: The digest of the request; the request that brings the token back must have the same.
            content: What the token says.
        """
        token = (await self._load()).encrypt(bound_to[:_BINDING_BYTES] + content)
        return token.decode().rstrip("=")  # a URL would have to escape the padding

    async def decrypt(self, bound_to: bytes, token: str) -> bytes:
        """Return the content of a token that a request brings.

        Raises:
            TokenError: This service did not make it, or made it for another request.
        """
        fernet = await self._load()
        try:
            content = fernet.decrypt(_canonical(token))
        except (InvalidToken, ValueError):
            raise TokenError("is not one that this service made") from None
        if content[:_BINDING_BYTES] != bound_to[:_BINDING_BYTES]:
            raise TokenError("was made for another request")
        return content[_BINDING_BYTES:]

    async def _load(self) -> MultiFernet:
        if self._fernet is None:
            keys = await self._database.read(token_key.read_keys())
            self._fernet = MultiFernet(_fernets(keys))
        return self._fernet


def _fernets(keys: Sequence[bytes]) -> list[Fernet]:
    return [Fernet(base64.urlsafe_b64encode(key)) for key in keys]


def _derive(secret: str) -> bytes:
    return hashlib.sha256(b"sprocket-grpc page token\0" + secret.encode()).digest()


def _canonical(token: str) -> bytes:
    """Restore the padding.

    Raises:
        ValueError: The token is not spelled as it was made. Base64 lets several spellings mean the same bytes.
    """
    padded = token.encode("ascii") + b"=" * (-len(token) % 4)
    if "=" in token or base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)) != padded:
        raise ValueError("not canonical")
    return padded
