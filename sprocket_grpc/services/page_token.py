"""Page tokens: sealed, so that they say nothing and cannot be made up; bound to the request they continue.

They are Fernet tokens (AES-CBC with HMAC-SHA256). A token grants nothing: it only says where to go on.
"""

import base64
import copy
import hashlib
import json
from collections.abc import Sequence
from typing import cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sprocket_grpc.database import Database
from sprocket_grpc.errors import InvalidPageTokenError, Violation
from sprocket_grpc.services.requests import ListRequest
from sprocket_grpc.store import page_token_key
from sprocket_grpc.store.query import SortKey

_BINDING_DIGITS = 32


class PageTokens:
    """Seals and opens page tokens, with keys that all replicas share."""

    def __init__(self, database: Database, secrets: Sequence[str] = ()) -> None:
        """Take keys from secrets that the replicas share, or else from the database.

        Args:
            database: Where the keys are if there are no secrets.
            secrets: The first seals, all open; so a new one is put behind the others everywhere, and then first.
        """
        self._database = database
        self._fernet = MultiFernet(_fernets([_derive(secret) for secret in secrets])) if secrets else None

    async def seal(self, request: ListRequest, last_key: SortKey) -> str:
        """Make the token with which `request` goes on after the resource with the sort key `last_key`."""
        content = json.dumps([_binding(request), last_key])
        token = (await self._load()).encrypt(content.encode())
        return token.decode().rstrip("=")  # a URL would have to escape the padding

    async def open(self, request: ListRequest) -> SortKey:
        """Return the sort key that the token of `request` was made with.

        Raises:
            InvalidPageTokenError: It was not made here, or for another request.
        """
        fernet = await self._load()
        try:
            binding, last_key = json.loads(fernet.decrypt(_canonical(request.page_token)))
        except (InvalidToken, ValueError):
            raise _refused("is not one that this service made") from None
        if binding != _binding(request):
            raise _refused("was made for another request: keep all fields but page_size as they were")
        return cast("SortKey", last_key)  # it is as we sealed it

    async def _load(self) -> MultiFernet:
        if self._fernet is None:
            keys = await self._database.run(page_token_key.read)
            self._fernet = MultiFernet(_fernets(keys))
        return self._fernet


def _fernets(keys: Sequence[bytes]) -> list[Fernet]:
    return [Fernet(base64.urlsafe_b64encode(key)) for key in keys]


def _derive(secret: str) -> bytes:
    return hashlib.sha256(b"sprocket-grpc page token\0" + secret.encode()).digest()


def _binding(request: ListRequest) -> str:
    """Digest what must stay the same from page to page: the method and all fields but the paging ones."""
    rest = copy.deepcopy(request)
    rest.page_size = 0
    rest.page_token = ""
    content = request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()[:_BINDING_DIGITS]


def _canonical(token: str) -> bytes:
    """Restore the padding.

    Raises:
        ValueError: The token is not spelled as it was made. Base64 lets several spellings mean the same bytes.
    """
    padded = token.encode("ascii") + b"=" * (-len(token) % 4)
    if "=" in token or base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)) != padded:
        raise ValueError("not canonical")
    return padded


def _refused(why: str) -> InvalidPageTokenError:
    return InvalidPageTokenError([Violation("page_token", why)])
