"""What following costs: little, whoever is slow, gone or away; and how it ends with the server or the database."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping
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
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_reads import Chunk, Position
from sprocket_grpc.storage.postgres.prepared import Read
from tests.support.books import fill_chart, numbers_of, query
from tests.support.errors import fails
from tests.support.following import ManyFollowing, OneFollowing
from tests.support.locks import open_transaction
from tests.support.resources import create_factory, create_sprocket
from tests.support.service import Service, running_service

TICK_SECONDS = 0.02
PROGRESS_SECONDS = 0.5

# Without probing for more bandwidth, a server sends 64 kB ahead of what its client takes in: less than a chunk.
NOTHING_AHEAD = [("grpc.http2.bdp_probe", 0)]

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
    """A server that is quick to tell what is new, and that nothing is."""
    settings = Settings(follow_tick_seconds=TICK_SECONDS, follow_progress_seconds=PROGRESS_SECONDS)
    async with running_service(database_url, settings) as running:
        yield running


async def grow_chart(service: Service, factory_id: str, entries: int) -> None:
    """Add entries to a chart in one transaction. Their times are their sequences."""
    await query(service, _GROW, factory_id=factory_id, entries=entries)


async def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """About how many charts the database was asked, each time that it was."""
    asked: list[int] = []
    read_moved = chart_reads.read_moved

    def counted(known: Mapping[str, Position]) -> Read[dict[str, Position | None]]:
        asked.append(len(known))
        return read_moved(known)

    monkeypatch.setattr(chart_reads, "read_moved", counted)
    return asked


async def test_all_followers_together_ask_once_a_tick_and_nobody_asks_for_no_followers(
    service: Service, questions: list[int]
) -> None:
    ids = [(await create_factory(service)).id for _ in range(5)]
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(OneFollowing(service.channel, each)) for each in ids * 4]
        for follower in followers:
            await follower.until_responses(2)
        questions.clear()
        await asyncio.sleep(20 * TICK_SECONDS)
        assert 1 <= len(questions) <= 20
        assert set(questions) == {5}
    await eventually(lambda: service.chart_poller.count == 0)
    await asyncio.sleep(2 * TICK_SECONDS)
    questions.clear()
    await asyncio.sleep(5 * TICK_SECONDS)
    assert questions == []


@pytest.mark.parametrize("end", ["cancelled", "disconnected"])
async def test_a_reader_that_goes_away_is_noticed_at_once(service: Service, end: str) -> None:
    factory_id = (await create_factory(service)).id
    async with grpc.aio.insecure_channel(service.address) as channel:
        follower = OneFollowing(channel, factory_id)
        await follower.until_responses(1)
        await eventually(lambda: service.chart_poller.count == 1)
        if end == "cancelled":
            follower.call.cancel()
        else:
            await channel.close()
        await eventually(lambda: service.chart_poller.count == 0, PROGRESS_SECONDS / 2)


async def take(call: "grpc.aio.UnaryStreamCall[GetFactoryChartRequest, GetFactoryChartResponse]") -> list[int]:
    """Take one response in, and return the times of its entries."""
    response = await call.read()
    assert isinstance(response, GetFactoryChartResponse)
    return list(response.chart.time_micros)


async def test_a_slow_reader_misses_nothing_and_costs_neither_memory_nor_another_readers_time(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    await fill_chart(service, factory_id, 1)
    async with grpc.aio.insecure_channel(service.address, options=NOTHING_AHEAD) as channel:
        slow = FactoryServiceStub(channel).GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
        times = await take(slow)
        async with OneFollowing(service.channel, factory_id) as quick:
            for number in range(1, 11):
                await grow_chart(service, factory_id, CHUNK_ENTRIES)
                await quick.until_entries(number * CHUNK_ENTRIES + 1)
            assert quick.numbers == await numbers_of(service, factory_id)
        gc.collect()
        # One is on its way to the slow reader, one waits for it, and one is kept for it; the other reader has its last.
        assert sum(isinstance(each, Chunk) for each in gc.get_objects()) <= 5
        while len(times) < 10 * CHUNK_ENTRIES + 1:
            times += await take(slow)
        assert times == list(range(1, 10 * CHUNK_ENTRIES + 2))
        slow.cancel()


async def test_a_slow_reader_that_goes_away_is_noticed_at_once(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with grpc.aio.insecure_channel(service.address, options=NOTHING_AHEAD) as channel:
        slow = FactoryServiceStub(channel).GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
        await take(slow)
        await eventually(lambda: service.chart_poller.count == 1)
        for _ in range(5):
            await grow_chart(service, factory_id, CHUNK_ENTRIES)
            await asyncio.sleep(2 * TICK_SECONDS)
        slow.cancel()
        await eventually(lambda: service.chart_poller.count == 0, PROGRESS_SECONDS / 2)


async def test_more_news_than_fit_into_a_response_arrive_in_several(service: Service) -> None:
    ids = [(await create_factory(service)).id for _ in range(3)]
    async with ManyFollowing(service.channel, ids) as follower:
        await follower.until_entries(3)
        for each in ids:
            await grow_chart(service, each, CHUNK_ENTRIES)
        await follower.until_entries(3 + 3 * CHUNK_ENTRIES)
        assert follower.charts == {each: await numbers_of(service, each) for each in ids}
        for response in follower.responses:
            assert sum(len(each.chart.time_micros) for each in response.charts) <= CHUNK_ENTRIES


async def test_a_server_that_stops_ends_its_streams_with_a_last_token(service: Service) -> None:
    sprocket = await create_sprocket(service)
    async with (
        OneFollowing(service.channel, sprocket.factory_id) as one,
        ManyFollowing(service.channel, [sprocket.factory_id]) as many,
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
    async with OneFollowing(service.channel, sprocket.factory_id, resume_token=token) as late:
        with fails(grpc.StatusCode.UNAVAILABLE):
            await late.ended()
        assert late.numbers == []


async def test_a_stream_goes_on_when_connections_to_the_database_broke(service: Service, database_url: str) -> None:
    factory_id = (await create_factory(service)).id
    async with OneFollowing(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        async with open_transaction(database_url, _TERMINATE) as transaction:
            await transaction.execute(text(_GROW), {"factory_id": factory_id, "entries": 3})
            await transaction.commit()
        await follower.until_entries(4)


async def test_a_stream_whose_database_does_not_answer_ends_instead_of_pretending_that_nothing_is_new(
    service: Service, database_url: str
) -> None:
    factory_id = (await create_factory(service)).id
    async with OneFollowing(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        async with open_transaction(database_url, "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"):
            with fails(grpc.StatusCode.UNAVAILABLE):
                await follower.ended()
        token = follower.responses[-1].resume_token
    await grow_chart(service, factory_id, 1)
    async with OneFollowing(service.channel, factory_id, resume_token=token) as another:
        await another.until_entries(1)


async def test_to_look_less_often_than_a_stream_says_that_nothing_is_new_is_no_outage(database_url: str) -> None:
    settings = Settings(follow_tick_seconds=60, follow_progress_seconds=PROGRESS_SECONDS)
    async with running_service(database_url, settings) as service:
        factory_id = (await create_factory(service)).id
        async with OneFollowing(service.channel, factory_id) as follower:
            await follower.until_responses(4)


async def test_a_deleted_factory_is_named_once_however_often_its_reader_is_told() -> None:
    follower = Follower({"a": Position(1, 1), "b": Position(1, 1)})
    for factory_id in ("a", "a", "b", "a"):
        follower.notify(factory_id, None, None)
    with pytest.raises(NotFoundError) as raised:
        await follower.wait(1)
    assert raised.value.identifiers == ("a", "b")
