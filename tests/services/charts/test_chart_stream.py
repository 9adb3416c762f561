"""Streams of charts are complete, in order and in chunks, for fast and slow readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc
import pytest

from sprocket.v1.factory_pb2 import FactoryChart, GetFactoryChartRequest, GetFactoryChartResponse
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.charts.history import CHUNK_ENTRIES
from tests.support.books import fill_chart, read_chart
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import delete_factory, get_factory
from tests.support.resources import MISSING_ID, create_factory, create_sprocket
from tests.support.service import Service, running_service

Call: TypeAlias = "grpc.aio.UnaryStreamCall[GetFactoryChartRequest, GetFactoryChartResponse]"

# Without bandwidth probing, the flow-control window is 64 kB, less than a chunk: the server has one chunk in flight and
# one waiting, and does not read the next one.
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0)]
LONG = 3 * CHUNK_ENTRIES - 1  # the last chunk has room for one more entry


async def factory_with_chart(service: Service, entries: int) -> str:
    """Create a factory with a chart of `entries` entries, and return its id."""
    factory_id = (await create_factory(service)).id
    await fill_chart(service, factory_id, entries)
    return factory_id


def assert_complete(chunks: list[FactoryChart], entries: int) -> None:
    """Check that the chunks are the complete chart of `fill_chart`."""
    sequences = range(1, entries + 1)
    for each in chunks:
        columns = (each.time_micros, each.sprocket_production_goal, each.sprocket_production_actual)
        assert len(set(map(len, columns))) == 1
        assert each.time_micros, "an empty chunk"
    assert [time for each in chunks for time in each.time_micros] == list(sequences)
    assert [n for each in chunks for n in each.sprocket_production_goal] == [2**63 - 1 - n for n in sequences]
    assert [n for each in chunks for n in each.sprocket_production_actual] == [3 * n for n in sequences]


def call_for_chart(channel: grpc.aio.Channel, factory_id: str) -> Call:
    return FactoryServiceStub(channel).GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id))


async def next_chunk(call: Call) -> FactoryChart:
    response = await call.read()
    assert isinstance(response, GetFactoryChartResponse), "the stream has ended"
    return response.chart


async def rest_of(call: Call) -> list[FactoryChart]:
    chunks = []
    while (response := await call.read()) is not grpc.aio.EOF:
        assert isinstance(response, GetFactoryChartResponse)
        chunks.append(response.chart)
    return chunks


@asynccontextmanager
async def slow_channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """Connect as a client that receives a chunk only when the test reads one."""
    async with grpc.aio.insecure_channel(service.address, options=SMALL_WINDOW) as channel:
        yield channel


async def test_a_long_chart_arrives_complete_and_in_order_in_chunks(service: Service) -> None:
    factory_id = await factory_with_chart(service, 45_001)
    chunks = await rest_of(call_for_chart(service.channel, factory_id))
    assert len(chunks) > 1
    assert_complete(chunks, 45_001)


@pytest.mark.parametrize("extra", [-1, 0, 1, CHUNK_ENTRIES], ids=["one less", "exactly", "one more", "twice"])
async def test_a_chart_is_complete_for_any_length_of_the_last_chunk(service: Service, extra: int) -> None:
    factory_id = await factory_with_chart(service, CHUNK_ENTRIES + extra)
    chunks = await rest_of(call_for_chart(service.channel, factory_id))
    assert_complete(chunks, CHUNK_ENTRIES + extra)


async def test_a_stream_has_entries_of_its_own_factory_only(service: Service) -> None:
    factory_id = await factory_with_chart(service, 3)
    others = [await create_factory(service, sprocket_production_goal=n) for n in range(3)]
    assert_complete(await rest_of(call_for_chart(service.channel, factory_id)), 3)
    assert [(await read_chart(service, each.id)).numbers for each in others] == [[(0, 0)], [(1, 0)], [(2, 0)]]


async def test_the_chart_of_an_unknown_factory_is_not_found(service: Service) -> None:
    with fails(grpc.StatusCode.NOT_FOUND) as failure:
        await read_chart(service, MISSING_ID)
    assert failure.info.metadata == {"resource_type": "sprocket.v1.Factory", "id": MISSING_ID}


@pytest.mark.parametrize("factory_id", ["", "7", MISSING_ID.upper(), f"{MISSING_ID} "], ids=repr)
async def test_a_malformed_factory_id_is_an_invalid_argument(service: Service, factory_id: str) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT) as failure:
        await read_chart(service, factory_id)
    assert failure.fields == ["factory_id"]


async def test_a_stream_whose_factory_is_deleted_ends_with_not_found(service: Service) -> None:
    factory_id = await factory_with_chart(service, 2 * LONG)  # more than the server reads ahead
    async with slow_channel(service) as channel:
        call = call_for_chart(channel, factory_id)
        await next_chunk(call)
        await delete_factory(service, factory_id)
        with fails(grpc.StatusCode.NOT_FOUND) as failure:
            await rest_of(call)
    assert failure.info.metadata["id"] == factory_id


async def test_a_factory_deleted_before_the_first_chunk_is_read_is_not_found(
    service: Service, database_url: str
) -> None:
    factory_id = (await create_factory(service)).id
    async with open_transaction(database_url, "LOCK TABLE chart_entry IN ACCESS EXCLUSIVE MODE") as transaction:
        reading = asyncio.create_task(read_chart(service, factory_id))
        await waiting_for(transaction)
        await transaction.exec_driver_sql("DELETE FROM factory")
        await transaction.commit()
        with fails(grpc.StatusCode.NOT_FOUND):
            await reading


async def test_entries_added_during_a_stream_are_not_part_of_it(service: Service) -> None:
    factory_id = await factory_with_chart(service, LONG)
    async with slow_channel(service) as channel:
        call = call_for_chart(channel, factory_id)
        first = await next_chunk(call)
        await create_sprocket(service, factory_id=factory_id)
        assert_complete([first, *await rest_of(call)], LONG)
    assert len((await read_chart(service, factory_id)).times) == LONG + 1


async def test_slow_readers_hold_no_database_connection(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service, slow_channel(service) as channel:
        factory_id = await factory_with_chart(service, LONG)
        calls = [call_for_chart(channel, factory_id) for _ in range(5)]
        firsts = [await next_chunk(call) for call in calls]
        assert (await get_factory(service, factory_id)).id == factory_id
        for first, call in zip(firsts, calls, strict=True):
            assert_complete([first, *await rest_of(call)], LONG)


async def test_a_reader_that_disconnects_between_chunks_returns_its_connection(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        factory_id = await factory_with_chart(service, LONG)
        for _ in range(5):
            async with slow_channel(service) as channel:
                await next_chunk(call_for_chart(channel, factory_id))
            assert (await get_factory(service, factory_id)).id == factory_id
        assert_complete(await rest_of(call_for_chart(service.channel, factory_id)), LONG)


async def test_a_reader_that_cancels_during_a_query_returns_its_connection(database_url: str) -> None:
    lock = "LOCK TABLE chart_entry IN ACCESS EXCLUSIVE MODE"
    async with running_service(database_url, Settings(pool_size=1)) as service:
        factory_id = await factory_with_chart(service, 3)
        async with open_transaction(database_url, lock) as transaction:
            call = call_for_chart(service.channel, factory_id)
            reading = asyncio.create_task(rest_of(call))
            await waiting_for(transaction)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert (await get_factory(service, factory_id)).id == factory_id
        assert_complete(await rest_of(call_for_chart(service.channel, factory_id)), 3)
