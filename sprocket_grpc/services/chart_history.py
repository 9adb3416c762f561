"""Reads what charts held when a stream began: stretch by stretch, and no connection is held while a client reads."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TypeAlias

from sprocket_grpc.database import Connection, Database
from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.chart_range import BEGINNING_OF_TIME_MICROS, ChartRange
from sprocket_grpc.store import chart_reading
from sprocket_grpc.store.chart_reading import Found, Place, Span, Stretch

STRETCH_ENTRIES = 20_000
"""About 280 kB on the wire. Larger stretches are hardly faster, and smaller ones cost more per entry."""

_Read: TypeAlias = Callable[[Connection], list[Stretch]]


@dataclass(frozen=True)
class Opening:
    """What a stream has to send of one chart before it may follow it.

    Attributes:
        span: Which entries; perhaps none.
        created_micros: When the factory was created.
        begins_before_start: Whether the first of them is older than the range, and was in force at its start.
    """

    span: Span
    created_micros: int
    begins_before_start: bool


def open_charts(connection: Connection, asked: ChartRange) -> list[Opening]:
    """Find out which entries a range has, in the order of its factories.

    Raises:
        NotFoundError: Some of the factories do not exist, or are not those any more of which entries were sent before.
    """
    ends = chart_reading.read_ends(connection, asked.factory_ids)
    if replaced := [each for each, place in asked.places.items() if each in ends and place[0] != ends[each][0]]:
        raise NotFoundError("factory", *replaced)
    firsts = _find(connection, asked.factory_ids, asked.start_micros)
    befores = _find(connection, asked.factory_ids, asked.end_micros)
    return [_opening(asked, each, ends[each], firsts.get(each), befores.get(each)) for each in asked.factory_ids]


def _find(connection: Connection, factory_ids: Sequence[str], time_micros: int | None) -> dict[str, Found]:
    return {} if time_micros is None else chart_reading.find(connection, factory_ids, time_micros)


def _opening(asked: ChartRange, factory_id: str, end: Place, first: Found | None, before: Found | None) -> Opening:
    """Say what to send of one chart.

    Args:
        asked: The range.
        factory_id: Whose chart.
        end: Where it ends now.
        first: The first entry that is not before the range, if the range has a start.
        before: The first entry that is behind the range, if the range has an end.
    """
    is_older = first is not None and first.sequence > 1 and not first.is_exact
    after = first.sequence - 1 - is_older if first else 0
    if factory_id in asked.places:
        is_older, after = False, asked.places[factory_id].sequence
    upto = before.sequence - 1 if before else end.sequence
    return Opening(Span(factory_id, after, max(after, upto)), end.created_micros, is_older)


async def read_history(
    database: Database, asked: ChartRange, openings: Sequence[Opening]
) -> AsyncGenerator[list[Stretch]]:
    """Read what a stream has to send first, the next stretches while the client takes some in.

    Yields:
        Stretches of up to 20,000 entries together, at most one of each factory.

    Raises:
        NotFoundError: A factory was deleted meanwhile.
    """
    reads = _reads(asked, openings)

    def start() -> asyncio.Task[list[Stretch]] | None:
        read = next(reads, None)
        return asyncio.create_task(database.run(read)) if read else None

    ahead = start()
    try:
        while ahead:
            stretches = await ahead
            ahead = start()
            yield stretches
    finally:
        if ahead:
            ahead.cancel()
            await asyncio.wait([ahead])


def _reads(asked: ChartRange, openings: Iterable[Opening]) -> Iterator[_Read]:
    """Plan the reading: what is short together, what is long in pieces, what is to be thinned out by itself."""
    begin = BEGINNING_OF_TIME_MICROS if asked.start_micros is None else asked.start_micros
    spans = (each.span for each in openings)
    for is_too_long, several in groupby(spans, lambda span: 0 < asked.max_points < span.entries):
        if is_too_long:
            yield from (partial(_read_summary, span=span, begin=begin, most=asked.max_points) for span in several)
        else:
            yield from (partial(chart_reading.read_stretches, spans=batch) for batch in batches(several))


def _read_summary(connection: Connection, span: Span, begin: int, most: int) -> list[Stretch]:
    return [chart_reading.read_summary(connection, span, begin, most)]


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Cut and collect spans so that each batch has at most 20,000 entries, and at most one span of each factory."""
    batch: list[Span] = []
    room = STRETCH_ENTRIES
    for span in spans:
        after = span.after
        while after < span.upto:
            piece = Span(span.factory_id, after, min(span.upto, after + room))
            batch.append(piece)
            after, room = piece.upto, room - piece.entries
            if not room:
                yield batch
                batch, room = [], STRETCH_ENTRIES
    if batch:
        yield batch
