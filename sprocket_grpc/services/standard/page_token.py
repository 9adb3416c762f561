"""Page tokens: where a list goes on."""

import json
from typing import cast

from sprocket_grpc.errors import InvalidPageTokenError, Violation
from sprocket_grpc.services.standard.requests import ListRequest
from sprocket_grpc.services.standard.sealing import Sealer, TokenError, binding
from sprocket_grpc.storage.query_sql import SortKey


async def seal_page_token(sealer: Sealer, request: ListRequest, last_key: SortKey) -> str:
    """Make the token with which `request` goes on after the resource with the sort key `last_key`."""
    return await sealer.seal(binding(request), json.dumps(last_key).encode())


async def open_page_token(sealer: Sealer, request: ListRequest) -> SortKey | None:
    """Return the sort key that the token of `request` was made with, or None if it has none.

    Raises:
        InvalidPageTokenError: It was not made here, or for another request.
    """
    if not request.page_token:
        return None
    try:
        return cast(
            "SortKey", json.loads(await sealer.open(binding(request), request.page_token))
        )  # it is as we sealed it
    except TokenError as error:
        hint = "keep all fields but page_size as they were"
        raise InvalidPageTokenError([Violation("page_token", f"{error}: {hint}")]) from None
