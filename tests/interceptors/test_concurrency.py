"""The limit of concurrent calls: further calls are refused immediately, except health checks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres.connection import Connection
from tests.conformance.promises import refuses
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import create_factory, create_location
from tests.support.service import Service, running_service

OVERLOADED = grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED"


@pytest.fixture
async def narrow(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, Settings(concurrency_limit=2, stream_limit=2)) as running:
        yield running


async def list_locations(service: Service) -> None:
    await service.locations.ListLocations(ListLocationsRequest())


async def follow(service: Service, factory_id: str) -> Any:
    """Open a stream that follows a chart, and return it after its first response."""
    stream: Any = service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True))
    await stream.read()
    return stream


async def test_a_call_over_the_limit_is_refused_immediately_with_a_retry_delay(
    narrow: Service, database_url: str
) -> None:
    async with open_transaction(database_url, "LOCK TABLE location") as holder:
        waiting = [asyncio.create_task(list_locations(narrow)) for _ in range(2)]
        await waiting_for(holder, 2)
        with refuses(*OVERLOADED) as failure:
            await list_locations(narrow)
        assert failure.info.metadata == {"limit": "2 calls"}
        assert failure.detail(RetryInfo).retry_delay.ToNanoseconds() > 0
        health: Any = HealthStub(narrow.channel)
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
    await asyncio.gather(*waiting)
    await list_locations(narrow)


@pytest.mark.parametrize("end", ["cancelled", "failed", "answered"])
async def test_a_cancelled_failed_or_answered_call_frees_its_slot(narrow: Service, database_url: str, end: str) -> None:
    for _ in range(3):
        async with open_transaction(database_url, "LOCK TABLE location") as holder:
            calls = [asyncio.create_task(list_locations(narrow)) for _ in range(2)]
            backends = await waiting_for(holder, 2)
            if end == "cancelled":
                for call in calls:
                    call.cancel()
            if end == "failed":
                for backend in backends:
                    await narrow.database.run(_terminate, backend)
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in ended} <= {asyncio.CancelledError, grpc.aio.AioRpcError, type(None)}
    while True:  # the server ends a cancelled call a moment later
        try:
            await list_locations(narrow)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017  # until the slot is free
        else:
            return


def _terminate(connection: Connection, pid: int) -> None:
    connection.execute(text(f"SELECT pg_terminate_backend({pid})"))


async def test_streams_and_calls_have_separate_limits(narrow: Service) -> None:
    factory = await create_factory(narrow)
    streams = [await follow(narrow, factory.id) for _ in range(2)]
    await create_location(narrow)
    with refuses(*OVERLOADED) as failure:
        await follow(narrow, factory.id)
    assert failure.info.metadata == {"limit": "2 streams"}
    streams[0].cancel()
    async with asyncio.timeout(30):
        while True:
            try:
                streams.append(await follow(narrow, factory.id))
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)  # the server notices the cancellation a moment later
    for stream in streams:
        stream.cancel()
