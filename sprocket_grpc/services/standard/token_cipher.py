"""Seals what a client brings back: it says nothing, cannot be made up, and is bound to the request it continues.

Tokens are Fernet tokens (AES-CBC with HMAC-SHA256). A token grants nothing: it only says where to go on.
"""

import base64
import copy
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sprocket_grpc.services.standard.requests import Serializable
from sprocket_grpc.storage import token_key
from sprocket_grpc.storage.postgres.database import Database

if TYPE_CHECKING:
    from google.protobuf.message import Message

_BINDING_BYTES = 16

# The fields that may change between the request that was given a token and the one that brings it back.
_FREE_FIELDS = {"page_size", "page_token", "factory_ids", "max_points", "follow", "resume_token"}


class TokenError(Exception):
    """A token is not one that this request was given. The text says why, as a predicate."""


def binding(request: Serializable) -> bytes:
    """Digest what must stay the same in a request: the method, and all fields but the free ones."""
    rest = copy.deepcopy(cast("Message", request))
    for field in _FREE_FIELDS.intersection(request.DESCRIPTOR.fields_by_name):
        rest.ClearField(field)
    content = request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)
    return hashlib.sha256(content).digest()[:_BINDING_BYTES]


class TokenCipher:
    """Encrypts and decrypts tokens, with keys that all replicas share."""

    def __init__(self, database: Database, secrets: Sequence[str] = ()) -> None:
        """Take keys from secrets that the replicas share, or else from the database.

        Args:
            database: Where the keys are if there are no secrets.
            secrets: The first seals, all open; so a new one is put behind the others everywhere, and then first.
        """
        self._database = database
        self._fernet = MultiFernet(_fernets([_derive(secret) for secret in secrets])) if secrets else None

    async def encrypt(self, bound_to: bytes, content: bytes) -> str:
        """Make a token that carries `content` to a request that `binding` digests alike."""
        token = (await self._load()).encrypt(bound_to + content)
        return token.decode().rstrip("=")  # a URL would have to escape the padding

    async def decrypt(self, bound_to: bytes, token: str) -> bytes:
        """Return the content of a token that a request brings.

        Raises:
            TokenError: It was not made here, or for another request.
        """
        fernet = await self._load()
        try:
            content = fernet.decrypt(_canonical(token))
        except (InvalidToken, ValueError):
            raise TokenError("is not one that this service made") from None
        if content[:_BINDING_BYTES] != bound_to:
            raise TokenError("was made for another request")
        return content[_BINDING_BYTES:]

    async def _load(self) -> MultiFernet:
        if self._fernet is None:
            keys = await self._database.run(token_key.read)
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
