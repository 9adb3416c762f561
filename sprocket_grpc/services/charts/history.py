"""Reads what charts held when a stream began: chunk by chunk, and no connection is held while a client reads."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TypeAlias

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.charts.range import BEGINNING_OF_TIME_MICROS, NANOS_PER_MICRO, ChartRange, next_micro
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_reads import Chunk, Extent, SequenceRange
from sprocket_grpc.storage.postgres.database import Connection, Database
from sprocket_grpc.storage.postgres.read_router import ReadSession

CHUNK_ENTRIES = 20_000
"""About 280 kB on the wire. Larger chunks are hardly faster, and smaller ones cost more per entry."""

_Read: TypeAlias = Callable[[Database], Awaitable[list[Chunk]]]


@dataclass(frozen=True)
class Opening:
    """What a stream has to send of one chart before it may follow it.

    Attributes:
        sequences: Which entries; perhaps none.
        created_micros: When the factory was created.
        begins_before_start: Whether the first of them is older than the range, and was in force at its start.
    """

    sequences: SequenceRange
    created_micros: int
    begins_before_start: bool


def open_charts(connection: Connection, asked: ChartRange) -> list[Opening]:
    """Find out which entries a range has, in the order of its factories.

    Raises:
        NotFoundError: Some of the factories do not exist, or are not those any more of which entries were sent before.
    """
    times = [next_micro(time) for time in (asked.start, asked.end) if time is not None]
    extents = chart_reads.read_extents(connection, asked.factory_ids, times)
    sent = {each: asked.positions[each] for each in asked.factory_ids if each in asked.positions}
    if replaced := [
        each for each, position in sent.items() if position.created_micros != extents[each].end.created_micros
    ]:
        raise NotFoundError("factory", *replaced)
    return [_opening(asked, each, extents[each]) for each in asked.factory_ids]


def _opening(asked: ChartRange, factory_id: str, extent: Extent) -> Opening:
    upto = extent.found[-1].sequence - 1 if asked.end is not None else extent.end.sequence
    if factory_id in asked.positions:
        after, is_older = asked.positions[factory_id].sequence, False
    else:
        after, is_older = _beginning(asked.start, extent)
    return Opening(SequenceRange(factory_id, after, max(after, upto)), extent.end.created_micros, is_older)


def _beginning(start: int | None, extent: Extent) -> tuple[int, bool]:
    """Return after which entry a range begins, and whether its first one is older than it."""
    if start is None:
        return 0, False
    first, is_exact = extent.found[0]
    is_older = first > 1 and not (is_exact and start % NANOS_PER_MICRO == 0)
    return first - 1 - is_older, is_older


async def read_history(
    reading: ReadSession, asked: ChartRange, openings: Sequence[Opening]
) -> AsyncGenerator[list[Chunk]]:
    """Read what a stream has to send first, the next chunks while the client takes some in.

    Yields:
        Chunks of up to 20,000 entries together, at most one of each factory.

    Raises:
        NotFoundError: A factory was deleted meanwhile.
    """
    reads = _reads(asked, openings)

    def start() -> asyncio.Task[list[Chunk]] | None:
        read = next(reads, None)
        return asyncio.create_task(reading.read(read)) if read else None

    ahead = start()
    try:
        while ahead:
            chunks = await ahead
            ahead = start()
            await asyncio.sleep(0)  # its query leaves before these are sent: PostgreSQL works meanwhile
            yield chunks
    finally:
        if ahead:
            ahead.cancel()
            await asyncio.wait([ahead])


def _reads(asked: ChartRange, openings: Iterable[Opening]) -> Iterator[_Read]:
    """Plan the reading: what is short together, what is long in pieces, what is to be thinned out by itself."""
    begin = BEGINNING_OF_TIME_MICROS if asked.start is None else next_micro(asked.start)
    sequences = (each.sequences for each in openings)
    for is_too_long, several in groupby(sequences, lambda sequences: 0 < asked.max_points < sequences.entries):
        if is_too_long:
            yield from (
                partial(_read_summary, sequences=sequences, begin=begin, most=asked.max_points) for sequences in several
            )
        else:
            yield from (partial(chart_reads.read_chunks, sequences=batch) for batch in batches(several))


async def _read_summary(database: Database, sequences: SequenceRange, begin: int, most: int) -> list[Chunk]:
    return [await database.run(chart_reads.read_summary, sequences, begin, most)]


def batches(ranges: Iterable[SequenceRange]) -> Iterator[list[SequenceRange]]:
    """Split and group ranges: each batch has at most 20,000 entries, and at most one range of each factory."""
    batch: list[SequenceRange] = []
    room = CHUNK_ENTRIES
    for sequences in ranges:
        after = sequences.after
        while after < sequences.upto:
            piece = SequenceRange(sequences.factory_id, after, min(sequences.upto, after + room))
            batch.append(piece)
            after, room = piece.upto, room - piece.entries
            if not room:
                yield batch
                batch, room = [], CHUNK_ENTRIES
    if batch:
        yield batch
