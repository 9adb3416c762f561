"""Reads a factory's chart stretch by stretch: no connection is held while the client takes one in."""

from collections.abc import AsyncIterator

from sprocket_grpc.database import Database
from sprocket_grpc.services.validation import id_violations, refuse
from sprocket_grpc.store import chart
from sprocket_grpc.store.chart import ChartColumns

STRETCH_ENTRIES = 20_000
"""About 280 kB on the wire. Larger stretches are hardly faster, and smaller ones cost more per entry."""


async def read_chart(database: Database, factory_id: str) -> AsyncIterator[ChartColumns]:
    """Read a chart up to the entry that is its last when this begins.

    Raises:
        InvalidArgumentError: The id is none.
        NotFoundError: There is no such factory, or not any more.
    """
    refuse(id_violations("factory_id", factory_id))
    end = await database.run(chart.read_end, factory_id)
    last = 0
    while last < end:
        columns = await database.run(chart.read, factory_id, last, end, STRETCH_ENTRIES)
        last = columns.last_sequence
        yield columns
