"""Fills responses with many items, up to a size that clients accept."""

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.services.standard.requests import ItemsResponse, items_of
from sprocket_grpc.storage.listing import Row

RESPONSE_BYTES = 3_670_016
"""The most bytes of the items of a response, 3.5 MiB.

Clients of gRPC refuse messages over 4 MiB by default. The rest is for a page token, which has values of the last item.
"""

ITEM_BYTES = 6
"""The most bytes before an item: a tag of one byte and the item's length."""


def fill(response: ItemsResponse, rows: Iterable[Row], assign: Callable[[Any, Row], None]) -> int:
    """Fill a response with the first of some rows, at least one and at most `RESPONSE_BYTES`; return their number."""
    items = items_of(response)
    for row in rows:
        assign(items.add(), row)
    if response.ByteSize() > RESPONSE_BYTES:  # once for all: the size of each takes four times as long
        sizes = accumulate(item.ByteSize() + ITEM_BYTES for item in items)
        del items[max(1, sum(size <= RESPONSE_BYTES for size in sizes)) :]
    return len(items)


def fill_whole(response: ItemsResponse, rows: list[Row], assign: Callable[[Any, Row], None], field: str) -> None:
    """Fill a response with all of some rows.

    Args:
        response: The empty response.
        rows: The rows.
        assign: Sets the fields of an empty item from a row.
        field: The field of the request that asks for them.

    Raises:
        InvalidArgumentError: They are larger than `RESPONSE_BYTES` together.
    """
    if fill(response, rows, assign) < len(rows):
        wrong = f"the response would be larger than {RESPONSE_BYTES:,} bytes; send fewer at once"
        raise InvalidArgumentError([Violation(field, wrong)])
