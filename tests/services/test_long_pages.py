"""Long pages are filled in slices, so that other calls run meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest

from sprocket.v1.location_pb2 import ListLocationsResponse, Location
from sprocket_grpc.services.standard import pages
from sprocket_grpc.services.standard.pages import fill
from sprocket_grpc.storage.listing import Row

ROWS = [(str(number),) for number in range(50)]


class Filling:
    """Fills pages, and notes in which pass of the event loop each item was added, and to which page."""

    def __init__(self) -> None:
        self.passes = 0
        self.added: list[tuple[int, int]] = []

    async def fill(self, page: int, rows: Sequence[Row]) -> list[str]:
        """Fill a page, and return its items."""

        def assign(item: Location, row: Row) -> None:
            item.id = row[0]
            self.added.append((self.passes, page))

        response = ListLocationsResponse()
        assert await fill(response, rows, assign) == len(rows)
        return [item.id for item in response.locations]

    async def count_passes(self) -> None:
        """Count the passes of the event loop, as a call that is ready sees them."""
        while True:
            await asyncio.sleep(0)
            self.passes += 1


@pytest.fixture
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slice end after every item."""
    monkeypatch.setattr(pages, "SLICE_SECONDS", -1)


@pytest.mark.usefixtures("short_slices")
async def test_other_calls_run_between_the_slices_of_long_pages_which_are_filled_one_at_a_time() -> None:
    filling = Filling()
    counting = asyncio.create_task(filling.count_passes())
    filled = await asyncio.gather(*(filling.fill(page, ROWS) for page in range(3)))
    counting.cancel()
    assert filled == [[row[0] for row in ROWS]] * 3
    behind_the_first_slices = filling.added[3:]
    passes = [number for number, _ in behind_the_first_slices]
    assert len(set(passes)) == len(passes), "a pass had a slice of more than one page"
    assert [page for _, page in behind_the_first_slices] == [0] * 49 + [1] * 49 + [2] * 49


@pytest.mark.usefixtures("short_slices")
async def test_a_page_of_one_slice_waits_for_no_long_page(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling()
    long = asyncio.create_task(filling.fill(0, ROWS))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not long.done()
    before = len(filling.added)
    monkeypatch.setattr(pages, "SLICE_SECONDS", 60)
    assert await filling.fill(1, ROWS[:1]) == ["0"]
    assert len(filling.added) == before + 1
    assert await long == [row[0] for row in ROWS]


@pytest.mark.usefixtures("short_slices")
async def test_a_cancelled_long_page_leaves_the_turn_to_the_next() -> None:
    filling = Filling()
    long = [asyncio.create_task(filling.fill(page, ROWS)) for page in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    for each in long[:2]:
        each.cancel()
    assert await long[2] == [row[0] for row in ROWS]
    await asyncio.gather(*long, return_exceptions=True)
    assert long[0].cancelled()
    assert long[1].cancelled()
