"""Fills responses with many items, up to a size that clients accept.

Filling a page of 1,000 takes some milliseconds, in which the event loop cannot answer other calls. So it is filled in
slices, and other calls run between two slices. Of the pages that take more than one slice, one is filled at a time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from sprocket_grpc.caller import current_caller
from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.services.standard.requests import ItemsResponse, items_of
from sprocket_grpc.slots import Turns
from sprocket_grpc.storage.listing import Row

RESPONSE_BYTES = 3_670_016
"""The most bytes of the items of a response, 3.5 MiB.

Clients of gRPC refuse messages over 4 MiB by default. The rest is for a page token, which has values of the last item.
"""

ITEM_BYTES = 6
"""The most bytes before an item: a tag of one byte and the item's length."""


SLICE_SECONDS = 0.0003
"""How long a response is filled without a pause: about 130 items."""

_LONG = Turns(1, 1)
"""The turns of responses that take more than a slice, in turn for the callers who wait."""


async def fill(response: ItemsResponse, rows: Sequence[Row], assign: Callable[[Any, Row], None]) -> int:
    """Fill a response with the first of some rows, at least one and at most `RESPONSE_BYTES`; return their number."""
    pauses = _add(response, rows, assign)
    for _ in pauses:
        async with _LONG.turn(current_caller().principal):
            await asyncio.sleep(0)
            for _ in pauses:
                await asyncio.sleep(0)
    return _shorten(response)


async def fill_whole(
    response: ItemsResponse, rows: Sequence[Row], assign: Callable[[Any, Row], None], field: str
) -> None:
    """Fill a response with all of some rows.

    Args:
        response: The empty response.
        rows: The rows.
        assign: Sets the fields of an empty item from a row.
        field: The field of the request that asks for them.

    Raises:
        InvalidArgumentError: They are larger than `RESPONSE_BYTES` together.
    """
    _require_all(await fill(response, rows, assign), rows, field)


def fill_whole_at_once(
    response: ItemsResponse, rows: Sequence[Row], assign: Callable[[Any, Row], None], field: str
) -> None:
    """Do the same without a pause, in a transaction."""
    for _ in _add(response, rows, assign):
        pass
    _require_all(_shorten(response), rows, field)


def _add(response: ItemsResponse, rows: Sequence[Row], assign: Callable[[Any, Row], None]) -> Iterator[None]:
    """Add rows to a response, and yield at the end of each slice."""
    items, clock = items_of(response), time.perf_counter
    pause_at = clock() + SLICE_SECONDS
    for row in rows:
        assign(items.add(), row)
        if clock() > pause_at:
            yield
            pause_at = clock() + SLICE_SECONDS


def _shorten(response: ItemsResponse) -> int:
    """Remove the last items of a response that is larger than `RESPONSE_BYTES`, and return the number of the others."""
    items = items_of(response)
    if response.ByteSize() > RESPONSE_BYTES:  # once for all: the size of each takes four times as long
        sizes = accumulate(item.ByteSize() + ITEM_BYTES for item in items)
        del items[max(1, sum(size <= RESPONSE_BYTES for size in sizes)) :]
    return len(items)


def _require_all(number: int, rows: Sequence[Row], field: str) -> None:
    if number < len(rows):
        wrong = f"the response would be larger than {RESPONSE_BYTES:,} bytes; send fewer at once"
        raise InvalidArgumentError([Violation(field, wrong)])
