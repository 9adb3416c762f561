"""Charts are packed while they are read, followed, added to and deleted, by several packers at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeVar

import pytest

from sprocket_grpc.errors import DamagedChartError, NotFoundError
from sprocket_grpc.services.charts import history
from sprocket_grpc.services.charts.packing import Packer, packing
from sprocket_grpc.services.charts.pages import read_entries, read_packed
from sprocket_grpc.services.charts.summary import read_summary
from sprocket_grpc.storage import chart_chunks, chart_pages
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.postgres.read_router import ReadSession, _Standby
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.telemetry.background import Background
from tests.support.books import numbers_of, query
from tests.support.charts import Entry, entries_by_factory, entries_of, factory_with, moment, numbered, pack, read
from tests.support.databases import Databases
from tests.support.following import ChartsFollower
from tests.support.production import delete_factory
from tests.support.resources import MISSING_ID, create_sprocket
from tests.support.service import Service, running_service
from tests.support.waiting import until

pytestmark = pytest.mark.slow

T = TypeVar("T")

CREATIONS = 150
CHART = numbered(range(10, 1010, 10))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages have ten entries, and keep three as rows."""
    monkeypatch.setattr(chart_pages, "PAGE_ENTRIES", 10)
    monkeypatch.setattr(chart_pages, "KEPT_ENTRIES", 3)


@asynccontextmanager
async def repeated(work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do something again and again until the block ends, at least once."""
    is_over = False

    async def repeat() -> None:
        for _ in count():
            await work()
            if is_over:
                return
            await asyncio.sleep(0)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        is_over = True
        await task


async def layout_of(service: Service, factory_id: str) -> tuple[int, int]:
    """Return how many pages and rows a chart has."""
    statement = """
        SELECT (SELECT count(*) FROM chart_page WHERE factory_id = :id),
               (SELECT count(*) FROM chart_entry WHERE factory_id = :id)
    """
    [(pages, rows)] = await query(service, statement, id=factory_id)
    return pages, rows


async def entries_at(service: Service, factory_id: str) -> list[Entry]:
    return entries_of(await read(service, factory_id))


async def test_reads_and_followers_miss_no_entry_of_a_chart_that_grows_while_it_is_packed(service: Service) -> None:
    sprocket = await create_sprocket(service)
    factory_id, type_id = sprocket.factory_id, sprocket.sprocket_type_id

    async def assert_gapless() -> None:
        actuals = [actual for _, actual in await numbers_of(service, factory_id)]
        assert actuals == list(range(len(actuals)))

    async with (
        ChartsFollower(service.channel, [factory_id]) as follower,
        repeated(lambda: pack(service, factory_id, 3)),
        repeated(assert_gapless),
        repeated(assert_gapless),
    ):
        for _ in range(CREATIONS):
            await create_sprocket(service, factory_id=factory_id, sprocket_type_id=type_id)
        await follower.until_entries(CREATIONS + 2)
    received = entries_by_factory(follower.responses)[factory_id]
    assert [entry.actual for entry in received] == list(range(CREATIONS + 2))
    pages, rows = await layout_of(service, factory_id)
    assert (pages > 0, pages * 3 + rows) == (True, CREATIONS + 2)


@pytest.mark.usefixtures("small_pages")
async def test_several_packers_at_once_pack_each_entry_once(service: Service) -> None:
    charts = [await factory_with(service, CHART) for _ in range(4)]

    async def pack_all() -> int:
        packer, made = Packer(service.database), 0
        while (pages := await packer.step()) is not None:
            made += pages
        return made

    while sum(await asyncio.gather(*(pack_all() for _ in range(5)))):
        pass
    for factory_id in charts:
        assert await layout_of(service, factory_id) == (9, 10)
        assert await entries_at(service, factory_id) == CHART


class Forgetful:
    """Reads from a database that misses entries at first."""

    def __init__(self, service: Service, times: int) -> None:
        self._service = service
        self._left = times

    async def read(self, read: Read[T]) -> T:
        self._left -= 1
        if self._left >= 0:
            raise NotFoundError("factory", MISSING_ID)
        return await self._service.database.read(read)


async def test_what_is_not_in_pages_as_expected_is_read_from_rows(service: Service) -> None:
    """As on a standby that has not heard of the pages yet."""
    factory_id = await factory_with(service, CHART)
    whole = SequenceRange(factory_id, 0, 50)
    for kept in (100, 70, 0):
        await pack(service, factory_id, 10, kept)
        assert await read_packed(service.database, whole) == await read_entries(service.database, [whole])
    with pytest.raises(NotFoundError):
        await read_packed(service.database, SequenceRange(MISSING_ID, 0, 50))


@pytest.mark.parametrize("start", [0, 15, 300, 305, 895, 905])
@pytest.mark.parametrize("sizes", [[10], [25, 10]], ids=["of one size", "of two sizes"])
async def test_a_long_history_is_read_from_pages_alone_as_far_as_there_are_any(
    service: Service, monkeypatch: pytest.MonkeyPatch, start: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 20)
    monkeypatch.setattr(history, "PACKED_ENTRIES", 40)
    monkeypatch.setattr(history, "FIRST_ENTRIES", 5)
    factory_id = await factory_with(service, CHART)
    for size in sizes:
        await pack(service, factory_id, size, 50 if size > 10 else 3)
    from_rows, read_chunks = list[SequenceRange](), chart_chunks.read_chunks

    def noted(ranges: Sequence[SequenceRange]) -> Read[list[Chunk]]:
        from_rows.extend(ranges)
        return read_chunks(ranges)

    monkeypatch.setattr(chart_chunks, "read_chunks", noted)
    responses = await read(service, factory_id, start_time=moment(start))
    first = max(start // 10 - 1, 0)  # the entry that is in force at the start
    assert entries_of(responses) == CHART[first:]
    assert max(len(each.chart.time_micros) for each in responses) <= 40
    assert min(each.after for each in from_rows) == (90 if 90 - first >= 20 else first)


async def test_entries_are_missing_only_if_they_are_missing_twice(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    await pack(service, factory_id, 10)
    ranges = [SequenceRange(factory_id, 5, 25)]
    [chunk] = await read_entries(Forgetful(service, 1), ranges)
    assert [(page.first_sequence, page.last_sequence) for page in chunk.pages] == [(6, 10), (11, 20), (21, 25)]
    with pytest.raises(NotFoundError):
        await read_entries(Forgetful(service, 2), ranges)


async def test_a_factory_can_be_deleted_while_its_chart_is_packed(service: Service) -> None:
    for _ in range(10):
        factory_id = await factory_with(service, CHART)
        await asyncio.gather(pack(service, factory_id, 5), delete_factory(service, factory_id))
        assert await layout_of(service, factory_id) == (0, 0)


@pytest.mark.usefixtures("small_pages")
async def test_nothing_is_packed_before_packing_is_enabled(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    await query(service, "DELETE FROM chart_packing")
    packer = Packer(service.database)
    assert [await packer.step(), await packer.step()] == [0, None]
    await pack(service, factory_id, 10)
    assert await layout_of(service, factory_id) == (0, 100)


@pytest.mark.usefixtures("small_pages")
async def test_the_background_task_packs_all_charts_but_for_the_newest_entries(service: Service) -> None:
    charts = [await factory_with(service, CHART) for _ in range(3)]
    await query(service, "DELETE FROM chart_entry WHERE factory_id = :id AND sequence = 2", id=charts[1])

    async def is_packed() -> bool:
        return [await layout_of(service, each) for each in charts] == [(9, 10), (0, 99), (9, 10)]

    task = asyncio.create_task(Background().keep(packing(service.database, interval_seconds=0.01)))
    await until(is_packed)  # a chart that cannot be packed does not hold the others
    task.cancel()
    await asyncio.wait([task])
    assert await entries_at(service, charts[2]) == CHART


@pytest.mark.usefixtures("small_pages")
async def test_packing_takes_the_oldest_entries_first_and_goes_on_where_it_stopped(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    packer = Packer(service.database)
    assert [await packer.step() for _ in range(3)] == [0, 1, 1]
    assert await query(service, "SELECT min(sequence), max(sequence) FROM chart_entry") == [(21, 100)]
    assert [await Packer(service.database).step(), await packer.step()] == [0, 1]
    assert await query(service, "SELECT min(sequence) FROM chart_entry") == [(31,)]
    assert await entries_at(service, factory_id) == CHART


async def test_a_summary_of_a_factory_that_is_deleted_meanwhile_is_not_found(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    database, number = service.database, count()

    class Deleting:
        """Deletes the factory before the second read."""

        async def read(self, read: Read[T]) -> T:
            if next(number) == 1:
                await delete_factory(service, factory_id)
            return await database.read(read)

    with pytest.raises(NotFoundError):
        await read_summary(Deleting(), SequenceRange(factory_id, 0, len(CHART)), 0, 6)


async def test_a_page_that_is_damaged_on_a_standby_alone_is_read_from_the_primary(
    service: Service, databases: Databases
) -> None:
    factory_id = await factory_with(service, CHART)
    await pack(service, factory_id, 10)
    entries = SequenceRange(factory_id, 0, len(CHART))
    with databases.take() as url:
        async with running_service(url) as other:
            for table in ("location", "factory", "chart_entry", "chart_page"):
                await copy(service, other, table)
            await query(other, "UPDATE chart_page SET checksum = 0")
            standby, primary = other.database, service.database
            with pytest.raises(DamagedChartError):
                await read_entries(standby, [entries])
            session = ReadSession(primary, _Standby(standby))
            assert await read_entries(session, [entries]) == await read_entries(primary, [entries])


async def copy(source: Service, target: Service, table: str) -> None:
    """Copy all rows of a table as they are."""
    rows = await query(source, f"SELECT json_agg(row)::text FROM {table} AS row")  # noqa: S608  # our own names
    await query(
        target,
        f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, CAST(:rows AS json))",  # noqa: S608  # as above
        rows=rows[0][0] or "[]",
    )
