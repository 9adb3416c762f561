"""Connections: their largest age, and the largest size of their messages."""

import asyncio
import logging
from typing import Any

import grpc
import pytest

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.location_pb2 import ListLocationsRequest, Location, UpdateLocationRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.telemetry.logs import FIELDS
from tests.support.resources import create_factory
from tests.support.service import running_service


async def test_a_request_that_is_too_large_is_refused_before_it_is_read(database_url: str) -> None:
    async with running_service(database_url, Settings(message_bytes_maximum=2048)) as service:
        await service.locations.ListLocations(ListLocationsRequest(filter=f'display_name = "{"x" * 1500}"'))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service.locations.UpdateLocation(UpdateLocationRequest(location=Location(city="x" * 3000)))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_connection_that_reaches_its_age_is_replaced_and_no_call_fails(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sprocket_grpc.access")
    settings = Settings(connection_age_seconds=0.2, connection_age_grace_seconds=30)
    async with running_service(database_url, settings) as service, asyncio.timeout(60):
        while len(peers(caplog)) < 3:
            await service.locations.ListLocations(ListLocationsRequest())


def peers(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the peers of calls, from the access log."""
    return {getattr(record, FIELDS)["peer"] for record in caplog.records if record.name == "sprocket_grpc.access"}


async def test_a_stream_on_a_connection_that_reaches_its_age_ends_as_unavailable_and_can_be_resumed(
    database_url: str,
) -> None:
    settings = Settings(connection_age_seconds=0.2, connection_age_grace_seconds=0.2, follow_progress_seconds=0.05)
    async with running_service(database_url, settings) as service, asyncio.timeout(60):
        factory = await create_factory(service)
        request = GetFactoryChartRequest(factory_id=factory.id, follow=True)
        entries: list[int] = []
        for _ in range(3):
            code = await read(service.factories.GetFactoryChart(request), request, entries)
            assert code is grpc.StatusCode.UNAVAILABLE
        assert len(entries) == 1


async def read(stream: Any, request: GetFactoryChartRequest, entries: list[int]) -> grpc.StatusCode:
    """Read a stream to its end, update the resume_token of the request, and return the status code."""
    try:
        async for response in stream:
            entries += response.chart.time_micros
            request.resume_token = response.resume_token
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
