"""Charts of which the first entries have expired."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sprocket.v1.factory_pb2 import GetFactoryChartResponse
from tests.support.charts import Entry, entries_of, expire, factory_with, numbered, read
from tests.support.service import Service

BASE = 1_772_280_000_000_000
"""2026-02-28, noon: the times of today have eight bytes in a page."""

CHART = numbered(range(BASE + 10, BASE + 610, 10))
KEPT = 30
"""The sequence of the first entry that is kept of charts that were `cut`."""


async def cut(service: Service) -> str:
    """Create a factory, of whose chart the first entries have expired, and return its id."""
    factory_id = await factory_with(service, CHART)
    assert await expire(service, factory_id, CHART[KEPT - 1].micros + 5) == KEPT - 1
    return factory_id


class Read(NamedTuple):
    """What a stream has sent: its entries, whether the first is older than the range, and what it says of others."""

    entries: list[Entry]
    begins_before: bool
    retained_from: int | None


async def read_range(service: Service, factory_id: str, **fields: Any) -> Read:
    responses = await read(service, factory_id, **fields)
    begins_before = any(each.begins_before_start_time for each in responses)
    return Read(entries_of(responses), begins_before, retained_from(responses))


def retained_from(responses: Sequence[GetFactoryChartResponse]) -> int | None:
    """Return the time that the first response has of the first entry that is kept; others have none."""
    first, *others = [each.HasField("retained_from_time") for each in responses]
    assert not any(others)
    return responses[0].retained_from_time.ToMicroseconds() if first else None
