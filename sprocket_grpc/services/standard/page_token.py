"""Page tokens: where a list continues."""

import json
from functools import cached_property
from typing import cast

from sprocket_grpc.errors import InvalidPageTokenError, Violation
from sprocket_grpc.services.standard.requests import ListRequest, digest
from sprocket_grpc.services.standard.token_cipher import TokenCipher, TokenError
from sprocket_grpc.storage.query_sql import SortKey

FREE_FIELDS = ("page_size", "page_token")
"""The fields that may differ between the request that was given a token and the one that brings it back."""


class PageTokens:
    """The token that a request brings, and the one that its response carries."""

    def __init__(self, cipher: TokenCipher, request: ListRequest) -> None:
        self._cipher = cipher
        self._request = request

    @cached_property
    def _bound_to(self) -> bytes:
        return digest(self._request, FREE_FIELDS)

    async def read(self) -> SortKey | None:
        """Return the sort key in the token of the request, or None if it has no token.

        Raises:
            InvalidPageTokenError: This service did not make it, or made it for another request.
        """
        if not self._request.page_token:
            return None
        try:
            content = await self._cipher.decrypt(self._bound_to, self._request.page_token)
        except TokenError as error:
            hint = "keep all fields but page_size as they were"
            raise InvalidPageTokenError([Violation("page_token", f"{error}: {hint}")]) from None
        return cast("SortKey", json.loads(content))  # it is authentic, so `next` made it

    async def next(self, last_key: SortKey) -> str:
        """Make the token that continues after the resource with this sort key."""
        return await self._cipher.encrypt(self._bound_to, json.dumps(last_key).encode())
