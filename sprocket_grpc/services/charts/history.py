"""Reads the history of charts in chunks. No connection is held while the client reads."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from operator import itemgetter
from typing import Any

from sprocket_grpc.errors import ExpiredChartError, NotFoundError
from sprocket_grpc.services.charts.pages import read_entries, read_packed
from sprocket_grpc.services.charts.range import BEGINNING_OF_TIME_MICROS, NANOS_PER_MICRO, ChartRange, next_micro
from sprocket_grpc.services.charts.search import find_in_pages
from sprocket_grpc.services.charts.summary import read_summary
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.chart_pages import PAGE_ENTRIES
from sprocket_grpc.storage.chart_reads import Extent, Position, Start
from sprocket_grpc.storage.postgres.read_router import ReadSession

CHUNK_ENTRIES = 20_000
"""The most entries of one read or response: 280 kB on the wire. More rows are hardly faster, fewer cost more each."""

PACKED_ENTRIES = 40_000
"""The most entries of one read or response, if all are in pages: 560 kB, and 1.2 MB with the greatest numbers."""

FIRST_ENTRIES = 2_000
"""The most entries of the first response of a stream. Each later one has up to twice as many as the one before, so that
a client who does not read costs the memory of a few small ones."""

_COMMON_ENDS = 10_000
"""At its multiples, pages end in charts with pages of 2,000 entries, and in those with the former 5,000. In a
chart with both sizes, the pages at the ends of a response are decoded and cut."""


@dataclass(frozen=True)
class Opening:
    """The history of one chart that a stream sends before it follows the chart.

    Attributes:
        sequences: Its entries; may be empty.
        created_micros: When the factory was created.
        begins_before_start: Whether the first entry is older than the start of the range, and was in force then.
        packed: The sequence of the last entry of the chart in a page.
        retained_from: The time of the first entry of the chart, in microseconds since 1970, if older entries of the
            range have expired.
    """

    sequences: SequenceRange
    created_micros: int
    begins_before_start: bool
    packed: int = 0
    retained_from: int | None = None


async def open_charts(session: ReadSession, requested: ChartRange) -> list[Opening]:
    """Read which entries a range has, in the order of its factories.

    Raises:
        NotFoundError: Factories do not exist, or were replaced by others with their ids since entries were sent.
        ExpiredChartError: Entries have expired since entries were sent.
        DamagedChartError: A page is damaged.
    """
    times = [next_micro(time) for time in (requested.start, requested.end) if time is not None]
    read = chart_reads.read_extents(requested.factory_ids, times)
    try:
        extents = await find_in_pages(session, await session.read(read), times)
    except NotFoundError:  # a page may have expired meanwhile
        extents = await find_in_pages(session, await session.read(read), times)
    return _openings(requested, extents)


def _openings(requested: ChartRange, extents: Mapping[str, Extent]) -> list[Opening]:
    sent = {each: requested.positions[each] for each in requested.factory_ids if each in requested.positions}
    if replaced := [
        each for each, sent_to in sent.items() if sent_to.created_micros != extents[each].end.created_micros
    ]:
        raise NotFoundError("factory", *replaced)
    if expired := [each for each, sent_to in sent.items() if is_expired(sent_to, extents[each].start.sequence)]:
        raise ExpiredChartError(*expired)
    return [_opening(requested, each, extents[each]) for each in requested.factory_ids]


def is_expired(position: Position, first_sequence: int) -> bool:
    """Return whether entries after a position have expired, if the first entry that is kept has a sequence."""
    return position.sequence < first_sequence - 1


def _opening(requested: ChartRange, factory_id: str, extent: Extent) -> Opening:
    upto = extent.found[-1].sequence - 1 if requested.end is not None else extent.end.sequence
    if factory_id in requested.positions:
        after, is_older, retained_from = requested.positions[factory_id].sequence, False, None
    else:
        after, is_older = _beginning(requested.start, extent)
        retained_from = _retained_from(requested.start, extent.start)
    sequences = SequenceRange(factory_id, after, max(after, upto))
    return Opening(sequences, extent.end.created_micros, is_older, extent.packed, retained_from)


def _beginning(start: int | None, extent: Extent) -> tuple[int, bool]:
    """Return the sequence before the first entry of a range, and whether that entry is older than its start."""
    if start is None:
        return extent.start.sequence - 1, False
    first = extent.found[0]
    if first.sequence <= extent.start.sequence:
        return extent.start.sequence - 1, False
    is_older = not (first.is_exact and start % NANOS_PER_MICRO == 0)
    return first.sequence - 1 - is_older, is_older


def _retained_from(start: int | None, kept: Start) -> int | None:
    """Return the time of the first entry that is kept, if a range starts at or before it and others have expired."""
    is_within = kept.micros is None or (start is not None and start > kept.micros * NANOS_PER_MICRO)
    return None if is_within else kept.micros


async def read_history(
    session: ReadSession, requested: ChartRange, openings: Sequence[Opening]
) -> AsyncGenerator[list[Chunk]]:
    """Read the history that a stream sends, one chunk ahead of the client.

    Yields:
        Chunks of up to 20,000 entries together, at most one of each factory; or one chunk of up to 40,000 in pages.

    Raises:
        NotFoundError: A factory was deleted meanwhile.
        DamagedChartError: A page is damaged.
    """
    reads = _reads(session, requested, openings)

    def start() -> asyncio.Task[list[Chunk]] | None:
        read = next(reads, None)
        return asyncio.create_task(read) if read else None

    ahead = start()
    try:
        while ahead:
            chunks = await ahead
            ahead = start()
            await asyncio.sleep(0)  # sends the next query before the chunk: PostgreSQL works meanwhile
            yield chunks
    finally:
        if ahead:
            ahead.cancel()
            await asyncio.wait([ahead])


class _Way(Enum):
    """How a part of a history is read."""

    SUMMARY = auto()
    PAGES = auto()
    ENTRIES = auto()


def _reads(
    session: ReadSession, requested: ChartRange, openings: Iterable[Opening]
) -> Iterator[Coroutine[Any, Any, list[Chunk]]]:
    """Plan the reads: short ranges together, long ones in pieces, and those to be downsampled one by one."""
    begin = BEGINNING_OF_TIME_MICROS if requested.start is None else next_micro(requested.start)
    sizes = _sizes()
    parts = (part for each in openings for part in _parts(each, requested.max_points))
    for way, several in groupby(parts, itemgetter(0)):
        ranges = (each for _, each in several)
        if way is _Way.SUMMARY:
            yield from (read_summary(session, each, begin, requested.max_points) for each in ranges)
        elif way is _Way.PAGES:
            pieces = (piece for each in ranges for [piece] in batches([each], PACKED_ENTRIES, sizes))
            yield from (read_packed(session, piece) for piece in pieces)
        else:
            yield from (read_entries(session, batch) for batch in batches(ranges, CHUNK_ENTRIES, sizes))


def _parts(opening: Opening, max_points: int) -> Iterator[tuple[_Way, SequenceRange]]:
    """Divide the range of a chart by the way in which it is read: pages only if they take responses of their own."""
    sequences = opening.sequences
    if 0 < max_points < sequences.entries:
        yield _Way.SUMMARY, sequences
        return
    pages = sequences._replace(upto=min(sequences.upto, opening.packed))
    if pages.entries >= CHUNK_ENTRIES:
        yield _Way.PAGES, pages
        sequences = sequences._replace(after=pages.upto)
    if sequences.entries:
        yield _Way.ENTRIES, sequences


def batches(
    ranges: Iterable[SequenceRange], most: int | None = None, sizes: Iterator[int] | None = None
) -> Iterator[list[SequenceRange]]:
    """Split and group ranges: a batch has one range of a factory, and at most `most` entries, the first fewer.

    A range is split where a page ends, if the batch has room for that, so that the page is sent as it is.

    Args:
        ranges: The ranges.
        most: The most entries of a batch; 20,000 by default.
        sizes: The most entries of each of the first batches, if others of the same stream precede them.
    """
    most, sizes = most or CHUNK_ENTRIES, sizes or _sizes()
    batch: list[SequenceRange] = []
    room = min(next(sizes), most)
    for sequences in ranges:
        after = sequences.after
        while after < sequences.upto:
            piece = SequenceRange(sequences.factory_id, after, _end_of_piece(after, sequences.upto, room))
            batch.append(piece)
            after, room = piece.upto, room - piece.entries
            if not room or after < sequences.upto:
                yield batch
                batch, room = [], min(next(sizes), most)
    if batch:
        yield batch


def _end_of_piece(after: int, upto: int, room: int) -> int:
    if upto <= after + room:
        return upto
    ends = ((after + room) // each * each for each in (_COMMON_ENDS, PAGE_ENTRIES))
    return next((end for end in ends if end > after), after + room)


def _sizes() -> Iterator[int]:
    """Yield the most entries of each response of a stream, by which it begins slowly."""
    size = FIRST_ENTRIES
    while True:
        yield size
        size = min(2 * size, PACKED_ENTRIES)


def groups(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group the chunks of several polls, in their order: a group has at most 20,000 entries, or is one chunk."""
    group: list[Chunk] = []
    room = CHUNK_ENTRIES
    for chunk in chunks:
        if group and len(chunk.time_micros) > room:
            yield group
            group, room = [], CHUNK_ENTRIES
        group.append(chunk)
        room -= len(chunk.time_micros)
    if group:
        yield group
