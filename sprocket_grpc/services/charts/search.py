"""The search for times inside of pages."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from sprocket_grpc.services.charts.pages import PAGES_OF_READ, Reader, decode, read_pages
from sprocket_grpc.storage.chart_pages import Page, PageKey
from sprocket_grpc.storage.chart_reads import Extent, Found


async def find_in_pages(reader: Reader, extents: Mapping[str, Extent], times: Sequence[int]) -> dict[str, Extent]:
    """Find the entries that are inside of pages.

    Args:
        reader: Runs the reads.
        extents: What is known of the charts.
        times: The times that were asked for, in the order of `Extent.found`.

    Raises:
        NotFoundError: Factories were deleted meanwhile.
        DamagedChartError: A page is damaged.
    """
    keys = sorted({key for each, extent in extents.items() for key in _pages_of(each, extent) if key})
    known: dict[tuple[PageKey | None, int], Found] = {}
    for place in range(0, len(keys), PAGES_OF_READ):
        batch = keys[place : place + PAGES_OF_READ]
        pages = await read_pages(reader, batch)
        for key, page in zip(batch, pages, strict=True):
            known |= {(key, time): found for time, found in zip(times, _find(page, times), strict=True)}
    return {
        each: extent._replace(
            found=[
                known.get((key, time), found)
                for key, time, found in zip(_pages_of(each, extent), times, extent.found, strict=True)
            ]
        )
        for each, extent in extents.items()
    }


def _pages_of(factory_id: str, extent: Extent) -> list[PageKey | None]:
    return [None if found.page is None else PageKey(factory_id, found.page) for found in extent.found]


def _find(page: Page, times: Sequence[int]) -> list[Found]:
    entries = decode(page).time_micros
    places = [bisect_left(entries, time) for time in times]
    return [
        Found(page.first_sequence + place, is_exact=entries[place : place + 1] == [time])
        for place, time in zip(places, times, strict=True)
    ]
