"""Page tokens: where a list goes on."""

import json
from typing import cast

from sprocket_grpc.errors import InvalidPageTokenError, Violation
from sprocket_grpc.services.standard.requests import ListRequest
from sprocket_grpc.services.standard.token_cipher import TokenCipher, TokenError, binding
from sprocket_grpc.storage.query_sql import SortKey


async def make_page_token(cipher: TokenCipher, request: ListRequest, last_key: SortKey) -> str:
    """Make the token with which `request` goes on after the resource with the sort key `last_key`."""
    return await cipher.encrypt(binding(request), json.dumps(last_key).encode())


async def read_page_token(cipher: TokenCipher, request: ListRequest) -> SortKey | None:
    """Return the sort key that the token of `request` was made with, or None if it has none.

    Raises:
        InvalidPageTokenError: It was not made here, or for another request.
    """
    if not request.page_token:
        return None
    try:
        return cast(
            "SortKey", json.loads(await cipher.decrypt(binding(request), request.page_token))
        )  # it is as we sealed it
    except TokenError as error:
        hint = "keep all fields but page_size as they were"
        raise InvalidPageTokenError([Violation("page_token", f"{error}: {hint}")]) from None
