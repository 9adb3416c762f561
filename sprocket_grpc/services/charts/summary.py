"""Summaries of charts: few entries that look like all of them.

Of each part of the time: the first and the last entry, and those with the least and the greatest goal and actual, the
earliest of each. Drawn on as many pixels as there are parts, both curves look as if every entry were there: M4 (Jugel,
Jerzak, Hackenbroich and Markl, "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), for two curves
at once. A library would need all the entries first.

The choice of a part is the choice among the choices of its pieces. So PostgreSQL chooses among rows, a page within one
part has its choice with it, and only pages across the ends of parts or of the range are decoded.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sprocket.v1.factory_pb2 import FactoryChart
from sprocket_grpc.caller import current_caller
from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.charts.pages import PAGES_OF_READ, Reader, decode, read_entries, read_pages
from sprocket_grpc.slots import Turns
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.chart_pages import Page
from sprocket_grpc.storage.chart_summary import ENTRIES_OF_PART, Entry, Outline, Parts, read_outlines

_DECODING = Turns(1, 1)
"""The turns to decode a page: one at a time in a process, between other calls. It takes 1 ms, and each part 13 us."""


async def read_summary(reader: Reader, sequences: SequenceRange, begin_micros: int, most: int) -> list[Chunk]:
    """Read a selection of the entries of a range that looks like all of them.

    Args:
        reader: Runs the reads.
        sequences: Which entries to select from.
        begin_micros: When the time that is to be drawn begins; an earlier entry counts as if it were added then.
        most: How many entries to select at most; `ENTRIES_OF_PART` or more.

    Raises:
        NotFoundError: The factory was deleted, or entries have expired meanwhile.
        DamagedChartError: A page is damaged.
    """
    begin, end = await _ends(reader, sequences)
    parts = Parts(max(begin, begin_micros), end, most // ENTRIES_OF_PART)
    outlines = await reader.read(read_outlines(sequences, parts))
    choice = _Choice(parts)
    choice.add(outlines.entries)
    across: list[Outline] = []
    for outline in outlines.pages:
        if _is_within(outline, sequences, parts):
            choice.add(outline.entries)
        else:
            across.append(outline)
    for place in range(0, len(across), PAGES_OF_READ):
        keys = [each.key for each in across[place : place + PAGES_OF_READ]]
        for page in await read_pages(reader, keys, is_expensive=True):
            async with _DECODING.turn(current_caller().principal):
                choice.add(_chosen(page, sequences, parts))
                await asyncio.sleep(0)  # lets other calls run
    entries = choice.entries()
    if entries[0][0] != sequences.after + 1:  # which is always chosen
        raise NotFoundError("factory", sequences.factory_id)
    return [_chunk(sequences, entries)]


async def _ends(reader: Reader, sequences: SequenceRange) -> list[int]:
    """Return the times of the first and the last entry of a range."""
    factory_id, after, upto = sequences
    ends = [SequenceRange(factory_id, after, after + 1), SequenceRange(factory_id, upto - 1, upto)]
    return [time for chunk in await read_entries(reader, ends) for time in _times(chunk)]


def _times(chunk: Chunk) -> Iterator[int]:
    for page in chunk.pages:
        yield from FactoryChart.FromString(page.wire).time_micros
    yield from chunk.time_micros


def _is_within(outline: Outline, sequences: SequenceRange, parts: Parts) -> bool:
    """Return whether a page is within the range and within one part."""
    first, last = outline.entries[:2]
    is_in_range = sequences.after < outline.first_sequence and outline.key.last_sequence <= sequences.upto
    return is_in_range and parts.part_of(first[1]) == parts.part_of(last[1])


def _chosen(page: Page, sequences: SequenceRange, parts: Parts) -> Iterator[Entry]:
    """Yield the choice from the entries of a page in the range, of each part."""
    chart = decode(page)
    columns = [*map(list, (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual))]
    place = max(sequences.after + 1 - page.first_sequence, 0)
    end = min(page.last_sequence, sequences.upto) + 1 - page.first_sequence
    while place < end:
        part = parts.part_of(columns[0][place])
        after = bisect_right(columns[0], part, place, end, key=parts.part_of)
        for chosen in _places(columns, place, after):
            yield (page.first_sequence + chosen, *(column[chosen] for column in columns))
        place = after


def _places(columns: Sequence[list[int]], begin: int, end: int) -> set[int]:
    """Return the places of the first and the last entry, and of the least and the greatest numbers, the earliest."""
    places = {begin, end - 1}
    for column in columns[1:]:
        numbers = column[begin:end]
        places |= {begin + numbers.index(min(numbers)), begin + numbers.index(max(numbers))}
    return places


class _Choice:
    """The entries that were chosen from pieces of the parts, and the choice among them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._chosen: defaultdict[int, set[tuple[int, ...]]] = defaultdict(set)

    def add(self, entries: Iterable[Entry]) -> None:
        """Add the entries that were chosen from a piece."""
        for entry in entries:
            self._chosen[self._parts.part_of(entry[1])].add(tuple(entry))

    def entries(self) -> list[Entry]:
        """Return the choice of all parts, in the order of the chart."""
        return [entry for part in sorted(self._chosen) for entry in self._of_part(sorted(self._chosen[part]))]

    def _of_part(self, entries: Sequence[Entry]) -> list[Entry]:
        columns = [*map(list, zip(*entries, strict=True))][1:]
        return [entries[place] for place in sorted(_places(columns, 0, len(entries)))]


def _chunk(sequences: SequenceRange, entries: Sequence[Entry]) -> Chunk:
    _, times, goals, actuals = zip(*entries, strict=True)
    return Chunk(sequences, times, goals, actuals)
