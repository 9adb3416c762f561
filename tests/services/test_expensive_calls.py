"""Expensive calls use a share of the connections, one caller a share of these, and each has a limit of time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from sqlalchemy import text

from sprocket.v1.factory_pb2 import (
    BatchCreateFactoriesRequest,
    DeleteFactoryRequest,
    Factory,
    GetFactoryChartRequest,
)
from sprocket.v1.location_pb2 import DeleteLocationRequest, ListLocationsRequest
from sprocket.v1.sprocket_pb2 import BatchDeleteSprocketsRequest, ListSprocketsRequest
from sprocket.v1.sprocket_type_pb2 import ListSprocketTypesRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.standard.writes import is_expensive
from sprocket_grpc.storage.postgres.connection import Connection
from tests.conformance.promises import refuses
from tests.support.callers import bearer, create_key
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import create_factory, create_location
from tests.support.service import Service, running_service

LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_EXPENSIVE_CALL_LIMIT"

EXPENSIVE = {
    "a filter": ListLocationsRequest(filter='display_name = "x"'),
    "an order": ListLocationsRequest(order_by="display_name"),
    "a count": ListLocationsRequest(show_total_size=True),
}


@asynccontextmanager
async def blocked(service: Service, url: str, request: ListLocationsRequest, calls: int, **options: Any) -> Any:
    """Make calls that use up the lane, which has two connections, until the block ends; yield the tasks."""
    async with open_transaction(url, "LOCK TABLE location") as holder:
        tasks = [asyncio.ensure_future(service.locations.ListLocations(request, **options)) for _ in range(calls)]
        await waiting_for(holder, min(calls, 2))
        yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def narrow(database_url: str) -> AsyncIterator[Service]:
    async with running_service(
        database_url, Settings(pool_size=4, expensive_call_limit=2, pool_timeout_seconds=0.5)
    ) as running:
        yield running


async def ends(call: Awaitable[object]) -> grpc.StatusCode:
    """Return the status of a call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("kind", ["a filter", "an order"])
async def test_cheap_calls_do_not_wait_behind_expensive_ones(narrow: Service, database_url: str, kind: str) -> None:
    async with blocked(narrow, database_url, EXPENSIVE[kind], 20):
        for _ in range(20):
            await narrow.sprocket_types.ListSprocketTypes(ListSprocketTypesRequest())


async def test_an_expensive_call_whose_turn_does_not_come_is_refused_with_a_retry_delay(
    narrow: Service, database_url: str
) -> None:
    async with blocked(narrow, database_url, EXPENSIVE["a filter"], 2):
        with refuses(*LIMITED) as failure:
            await narrow.sprocket_types.ListSprocketTypes(ListSprocketTypesRequest(show_total_size=True))
        assert failure.info.metadata == {"limit": "2"}
        assert failure.detail(RetryInfo).retry_delay.ToNanoseconds() > 0
    await narrow.sprocket_types.ListSprocketTypes(ListSprocketTypesRequest(show_total_size=True))


async def test_summaries_of_charts_are_expensive(narrow: Service, database_url: str) -> None:
    factory = await create_factory(narrow)
    chart = GetFactoryChartRequest(factory_id=factory.id, max_points=6)
    for goal in range(7):
        await narrow.database.run(_add_entry, factory.id, goal)
    async with blocked(narrow, database_url, EXPENSIVE["a filter"], 2):
        with refuses(*LIMITED):
            async for _ in narrow.factories.GetFactoryChart(chart):
                pass


async def test_a_cascade_waits_for_its_turn_among_the_expensive_calls(narrow: Service, database_url: str) -> None:
    factory = await create_factory(narrow)
    async with blocked(narrow, database_url, EXPENSIVE["a filter"], 2):
        with refuses(*LIMITED):
            await narrow.factories.DeleteFactory(DeleteFactoryRequest(id=factory.id, force=True))
        await narrow.factories.DeleteFactory(DeleteFactoryRequest(id=factory.id))


_ADD_ENTRY = text("""
    WITH moved AS (
        UPDATE factory SET chart_sequence = chart_sequence + 1, sprocket_production_goal = :goal WHERE id = :id
        RETURNING id, chart_sequence, chart_time_micros, sprocket_production_goal, sprocket_production_actual
    )
    INSERT INTO chart_entry TABLE moved
""")


def _add_entry(connection: Connection, factory_id: str, goal: int) -> None:
    connection.execute(_ADD_ENTRY, {"goal": goal, "id": factory_id})


async def test_one_caller_has_a_share_of_the_lane(database_url: str) -> None:
    settings = Settings(api_keys=True, pool_size=8, expensive_call_limit=3, pool_timeout_seconds=0.5)
    async with running_service(database_url, settings) as served:
        greedy, modest = (bearer(create_key(database_url, "read", name=name).text) for name in ("greedy", "modest"))
        async with blocked(served, database_url, EXPENSIVE["a filter"], 10, metadata=greedy):
            counted = ListSprocketTypesRequest(show_total_size=True)
            await served.sprocket_types.ListSprocketTypes(counted, metadata=modest)
            with refuses(*LIMITED):
                await served.sprocket_types.ListSprocketTypes(counted, metadata=greedy)


@pytest.mark.parametrize("kind", ["a filter", "an order"])
async def test_an_expensive_call_has_a_limit_of_time(database_url: str, kind: str) -> None:
    async with running_service(database_url, Settings(expensive_call_timeout_seconds=0.3)) as served:
        await create_location(served)
        async with open_transaction(database_url, "LOCK TABLE location"):
            with refuses(grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_STATEMENT_TIMEOUT"):
                await served.locations.ListLocations(EXPENSIVE[kind])


@pytest.mark.parametrize(
    ("request_of_write", "expected"),
    [
        (BatchDeleteSprocketsRequest(ids=["x"] * 101), True),
        (BatchDeleteSprocketsRequest(ids=["x"] * 100), False),
        (BatchCreateFactoriesRequest(factories=[Factory()] * 101), True),
        (BatchCreateFactoriesRequest(factories=[Factory()] * 100), False),
        (DeleteFactoryRequest(force=True), True),
        (DeleteLocationRequest(), False),
    ],
)
def test_large_batches_and_cascades_are_expensive(request_of_write: Any, expected: bool) -> None:  # noqa: FBT001  # a value
    assert is_expensive(request_of_write) is expected


async def test_a_list_that_is_a_range_of_an_index_is_not_expensive(narrow: Service, database_url: str) -> None:
    factory = await create_factory(narrow)
    of_factory = f'factory_id = "{factory.id}"'
    async with blocked(narrow, database_url, EXPENSIVE["a filter"], 20):
        await narrow.sprockets.ListSprockets(ListSprocketsRequest(filter=of_factory))
        with refuses(*LIMITED):
            await narrow.sprockets.ListSprockets(ListSprocketsRequest(filter=f'{of_factory} AND display_name = "x"'))
