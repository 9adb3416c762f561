"""Pages of charts as streams send them: whole ones as they are stored, and of others the entries of the range."""

import logging
from collections.abc import Sequence
from operator import itemgetter
from typing import Protocol, TypeVar

import google_crc32c
from google.protobuf.message import DecodeError

from sprocket.v1.factory_pb2 import FactoryChart
from sprocket_grpc.caller import current_caller
from sprocket_grpc.errors import DamagedChartError, NotFoundError
from sprocket_grpc.storage import chart_chunks, chart_pages
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.chart_pages import Page, PageKey, StoredPage
from sprocket_grpc.storage.postgres.reads import Read

PAGES_OF_READ = 4
"""The pages that are read and decoded at a time: some 4 ms."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """Runs reads: a database, or the session of a call."""

    async def read(self, read: Read[_T]) -> _T:
        """Run a read."""


async def read_entries(reader: Reader, ranges: Sequence[SequenceRange]) -> list[Chunk]:
    """Read all entries of ranges of charts.

    Raises:
        NotFoundError: Factories were deleted meanwhile: entries are missing, also when they are read again.
        DamagedChartError: A page is damaged.
    """
    read = chart_chunks.read_chunks(ranges).then(_fitted)
    try:
        return await reader.read(read)
    except NotFoundError:
        return await reader.read(read)


async def read_packed(reader: Reader, sequences: SequenceRange) -> list[Chunk]:
    """Do the same for a range that is in pages, with less work for PostgreSQL. If rows are in it, it reads those too.

    Raises:
        NotFoundError: The factory was deleted meanwhile.
        DamagedChartError: A page is damaged.
    """
    try:
        return await reader.read(chart_chunks.read_packed(sequences).then(_fitted))
    except NotFoundError:
        return await read_entries(reader, [sequences])


async def read_pages(reader: Reader, keys: Sequence[PageKey], *, is_expensive: bool = False) -> list[Page]:
    """Read whole pages, and check them: what is damaged on a standby alone is read from the primary.

    Raises:
        NotFoundError: Factories were deleted meanwhile.
        DamagedChartError: A page is damaged.
    """
    return await reader.read(chart_pages.read_pages(keys, is_expensive=is_expensive).then(_checked))


def _checked(pages: Sequence[Page]) -> list[Page]:
    for page in pages:
        _check(page)
    return list(pages)


def _fitted(chunks: Sequence[Chunk]) -> list[Chunk]:
    return [each._replace(pages=[_fit(page, each.sequences) for page in each.pages]) for each in chunks]


def _fit(page: Page, sequences: SequenceRange) -> Page:
    """Return the part of a page that is within a range. A whole page is checked, but not decoded."""
    first, last = max(page.first_sequence, sequences.after + 1), min(page.last_sequence, sequences.upto)
    if (first, last) == (page.first_sequence, page.last_sequence):
        _check(page)
        return page
    chart = decode(page)
    kept = slice(first - page.first_sequence, last - page.first_sequence + 1)
    part = FactoryChart(
        time_micros=chart.time_micros[kept],
        sprocket_production_goal=chart.sprocket_production_goal[kept],
        sprocket_production_actual=chart.sprocket_production_actual[kept],
    )
    return page._replace(first_sequence=first, last_sequence=last, wire=part.SerializeToString())


def decode(page: Page) -> FactoryChart:
    """Return the entries of a page.

    Raises:
        DamagedChartError: The page is damaged.
    """
    _check(page)
    if problem := _problem_of_content(page):
        raise _damaged(page, problem)
    return FactoryChart.FromString(page.wire)


def find_problem(stored: StoredPage) -> str | None:
    """Return what is wrong with a page; None if nothing is."""
    return _problem_of_checksum(stored.page) or _problem_of_content(stored.page) or _problem_of_outline(stored)


def _check(page: Page) -> None:
    """Check the checksum, which takes 11 us for a page of 65 kB."""
    if problem := _problem_of_checksum(page):
        raise _damaged(page, problem)


def _problem_of_checksum(page: Page) -> str | None:
    checksum = google_crc32c.value(page.wire)
    return None if checksum == page.checksum else f"its checksum is {checksum} instead of {page.checksum}"


def _problem_of_content(page: Page) -> str | None:
    try:
        chart = FactoryChart.FromString(page.wire)
    except DecodeError:
        return "it is no FactoryChart"
    columns = (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual)
    if any(len(column) != page.entries for column in columns):
        return f"it has not {page.entries} entries"
    return None


def _problem_of_outline(stored: StoredPage) -> str | None:
    chart = FactoryChart.FromString(stored.page.wire)
    sequences = range(stored.page.first_sequence, stored.page.last_sequence + 1)
    columns = (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual)
    entries = [*zip(sequences, *columns, strict=True)]
    if (stored.first_time_micros, stored.last_time_micros) != (entries[0][1], entries[-1][1]):
        return "its times are not those of its first and last entry"
    extremes = [choose(entries, key=itemgetter(column)) for column in (2, 3) for choose in (min, max)]
    is_same = [*map(tuple, stored.outline)] == [entries[0], entries[-1], *extremes]
    return None if is_same else "its outline is not that of its entries"


def _damaged(page: Page, problem: str) -> DamagedChartError:
    _log.error(
        "the chart of factory %s is damaged from sequence %d to %d: %s; `sprocket-grpc repack --verify` finds all such",
        page.factory_id,
        page.first_sequence,
        page.last_sequence,
        problem,
    )
    return DamagedChartError(page.factory_id, current_caller().request_id)
