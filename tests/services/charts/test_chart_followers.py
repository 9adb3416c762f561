"""The cost of followers that are idle, slow or disconnected, and the end of streams with the server or the database."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.charts.followers import Follower
from sprocket_grpc.services.charts.history import CHUNK_ENTRIES
from sprocket_grpc.storage import chart_chunks, chart_reads
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.chart_reads import Position
from sprocket_grpc.storage.postgres.reads import Read
from tests.support.books import fill_chart, numbers_of, query
from tests.support.errors import fails
from tests.support.following import ChartFollower, ChartsFollower
from tests.support.locks import open_transaction
from tests.support.resources import create_factory, create_sprocket
from tests.support.service import Service, running_service
from tests.support.waiting import until

pytestmark = pytest.mark.slow

TICK_SECONDS = 0.02
PROGRESS_SECONDS = 2  # a poll reads 20,000 entries at most, which takes long on a loaded machine

# Without bandwidth probing, the flow-control window is 64 kB, less than a chunk: the server waits for the client.
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0)]

_GROW = """
    WITH grown AS (
        UPDATE factory SET chart_sequence = chart_sequence + :entries WHERE id = CAST(:factory_id AS uuid)
        RETURNING id, chart_sequence
    )
    INSERT INTO chart_entry SELECT id, n, n, 9, n
    FROM grown, generate_series(chart_sequence - :entries + 1, chart_sequence) AS n
"""

_TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A server with a short poll interval and a short heartbeat interval."""
    settings = Settings(follow_tick_seconds=TICK_SECONDS, follow_progress_seconds=PROGRESS_SECONDS)
    async with running_service(database_url, settings) as running:
        yield running


async def grow_chart(service: Service, factory_id: str, entries: int) -> None:
    """Add entries to a chart in one transaction. Their times equal their sequences."""
    await query(service, _GROW, factory_id=factory_id, entries=entries)


@pytest.fixture
def polled_charts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of charts in each poll query so far."""
    counts: list[int] = []
    read_moved = chart_reads.read_moved

    def counted(known: Mapping[str, Position]) -> Read[dict[str, Position | None]]:
        counts.append(len(known))
        return read_moved(known)

    monkeypatch.setattr(chart_reads, "read_moved", counted)
    return counts


async def test_all_followers_share_one_query_per_poll_and_without_followers_there_are_no_queries(
    service: Service, polled_charts: list[int]
) -> None:
    ids = [(await create_factory(service)).id for _ in range(5)]
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(ChartFollower(service.channel, each)) for each in ids * 4]
        for follower in followers:
            await follower.until_responses(2)
        polled_charts.clear()
        await asyncio.sleep(20 * TICK_SECONDS)
        assert 1 <= len(polled_charts) <= 20
        assert set(polled_charts) == {5}
    await until(lambda: service.chart_poller.count == 0)
    await asyncio.sleep(2 * TICK_SECONDS)
    polled_charts.clear()
    await asyncio.sleep(5 * TICK_SECONDS)
    assert polled_charts == []


async def test_new_entries_are_read_once_for_all_followers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    factory_id = (await create_factory(service)).id
    reads: list[Sequence[SequenceRange]] = []
    read_chunks = chart_chunks.read_chunks

    def counted(sequences: Sequence[SequenceRange]) -> Read[list[Chunk]]:
        reads.append(sequences)
        return read_chunks(sequences)

    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(ChartFollower(service.channel, factory_id)) for _ in range(5)]
        for follower in followers:
            await follower.until_responses(2)
        monkeypatch.setattr(chart_chunks, "read_chunks", counted)
        await grow_chart(service, factory_id, 3)
        for follower in followers:
            await follower.until_entries(4)  # one from the beginning
    assert len(reads) == 1


@pytest.mark.parametrize("end", ["cancelled", "disconnected"])
async def test_a_follower_that_disconnects_is_removed_immediately(service: Service, end: str) -> None:
    factory_id = (await create_factory(service)).id
    async with grpc.aio.insecure_channel(service.address) as channel:
        follower = ChartFollower(channel, factory_id)
        await follower.until_responses(1)
        await until(lambda: service.chart_poller.count == 1)
        if end == "cancelled":
            follower.call.cancel()
        else:
            await channel.close()
        await until(lambda: service.chart_poller.count == 0, PROGRESS_SECONDS / 2)


async def take(call: "grpc.aio.UnaryStreamCall[GetFactoryChartRequest, GetFactoryChartResponse]") -> list[int]:
    """Read one response, and return the times of its entries."""
    response = await call.read()
    assert isinstance(response, GetFactoryChartResponse)
    return list(response.chart.time_micros)


async def test_a_slow_follower_gets_all_entries_without_memory_growth_or_delay_for_others(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    await fill_chart(service, factory_id, 1)
    async with grpc.aio.insecure_channel(service.address, options=SMALL_WINDOW) as channel:
        slow = FactoryServiceStub(channel).GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
        times = await take(slow)
        async with ChartFollower(service.channel, factory_id) as quick:
            for number in range(1, 11):
                await grow_chart(service, factory_id, CHUNK_ENTRIES)
                await quick.until_entries(number * CHUNK_ENTRIES + 1)
            assert quick.numbers == await numbers_of(service, factory_id)
        gc.collect()
        # For the slow follower: one in flight, one waiting to be sent, one kept. The quick follower has its last one.
        assert sum(isinstance(each, Chunk) for each in gc.get_objects()) <= 5
        while len(times) < 10 * CHUNK_ENTRIES + 1:
            times += await take(slow)
        assert times == list(range(1, 10 * CHUNK_ENTRIES + 2))
        slow.cancel()


async def test_a_slow_follower_that_disconnects_is_removed_immediately(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with grpc.aio.insecure_channel(service.address, options=SMALL_WINDOW) as channel:
        slow = FactoryServiceStub(channel).GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
        await take(slow)
        await until(lambda: service.chart_poller.count == 1)
        for _ in range(5):
            await grow_chart(service, factory_id, CHUNK_ENTRIES)
            await asyncio.sleep(2 * TICK_SECONDS)
        slow.cancel()
        await until(lambda: service.chart_poller.count == 0, PROGRESS_SECONDS / 2)


async def test_more_new_entries_than_fit_into_one_response_are_split(service: Service) -> None:
    ids = [(await create_factory(service)).id for _ in range(3)]
    async with ChartsFollower(service.channel, ids) as follower:
        await follower.until_entries(3)
        for each in ids:
            await grow_chart(service, each, CHUNK_ENTRIES)
        await follower.until_entries(3 + 3 * CHUNK_ENTRIES)
        assert follower.charts == {each: await numbers_of(service, each) for each in ids}
        for response in follower.responses:
            assert sum(len(each.chart.time_micros) for each in response.charts) <= CHUNK_ENTRIES


async def test_a_stopping_server_ends_its_streams_with_a_resume_token(service: Service) -> None:
    sprocket = await create_sprocket(service)
    async with (
        ChartFollower(service.channel, sprocket.factory_id) as one,
        ChartsFollower(service.channel, [sprocket.factory_id]) as many,
    ):
        await one.until_responses(1)
        await many.until_responses(1)
        service.chart_poller.stop()
        for follower in (one, many):
            with fails(grpc.StatusCode.UNAVAILABLE) as failure:
                await follower.ended()
            assert failure.info.reason == "ERROR_REASON_SHUTTING_DOWN"
        assert len(one.responses[-1].chart.time_micros) == len(many.responses[-1].charts) == 0
        token = one.responses[-1].resume_token
    async with ChartFollower(service.channel, sprocket.factory_id, resume_token=token) as late:
        with fails(grpc.StatusCode.UNAVAILABLE):
            await late.ended()
        assert late.numbers == []


async def test_a_stream_survives_broken_database_connections(service: Service, database_url: str) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        async with open_transaction(database_url, _TERMINATE) as transaction:
            await transaction.execute(text(_GROW), {"factory_id": factory_id, "entries": 3})
            await transaction.commit()
        await follower.until_entries(4)


async def test_a_stream_ends_if_the_database_does_not_answer(service: Service, database_url: str) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        async with open_transaction(database_url, "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"):
            with fails(grpc.StatusCode.UNAVAILABLE):
                await follower.ended()
        token = follower.responses[-1].resume_token
    await grow_chart(service, factory_id, 1)
    async with ChartFollower(service.channel, factory_id, resume_token=token) as another:
        await another.until_entries(1)


async def test_a_poll_interval_longer_than_the_heartbeat_interval_does_not_end_streams(database_url: str) -> None:
    settings = Settings(follow_tick_seconds=60, follow_progress_seconds=PROGRESS_SECONDS)
    async with running_service(database_url, settings) as service:
        factory_id = (await create_factory(service)).id
        async with ChartFollower(service.channel, factory_id) as follower:
            await follower.until_responses(4)


async def test_an_error_names_a_deleted_factory_once_after_repeated_notifications() -> None:
    follower = Follower({"a": Position(1, 1), "b": Position(1, 1)})
    for factory_id in ("a", "a", "b", "a"):
        follower.notify(factory_id, None, None)
    with pytest.raises(NotFoundError) as raised:
        await follower.wait(1)
    assert raised.value.identifiers == ("a", "b")
