"""`sprocket.client`: both clients decide in the same way, so each test runs with both."""

import asyncio
import time

import google.rpc.error_details_pb2 as details
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from sprocket.client import FieldViolation, ServiceError
from sprocket.v1.factory_pb2 import (
    Factory,
    FollowFactoryChartsRequest,
    GetFactoryChartRequest,
    ListFactoriesRequest,
    UpdateFactoryRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import (
    CreateLocationRequest,
    GetLocationRequest,
    ListLocationsRequest,
    Location,
)
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.deployment.python_client import AnyClient, connect, scripted, status
from tests.support.following import numbers
from tests.support.ports import free_address
from tests.support.resources import MISSING_ID, create_factory, create_location, location
from tests.support.service import Service

PATIENCE_SECONDS = 60
CREATE = CreateLocationRequest(location=location())
UNAVAILABLE, ABORTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED

pytestmark = pytest.mark.parametrize("kind", ["threads", "asyncio"])


def retry_info(seconds: float) -> details.RetryInfo:
    delay = Duration()
    delay.FromMicroseconds(int(seconds * 1_000_000))
    return details.RetryInfo(retry_delay=delay)


async def create(client: AnyClient) -> Location:
    created: Location = (await client.call(LocationServiceStub(client.channel).CreateLocation, CREATE)).location
    return created


async def set_goal(client: AnyClient, factory_id: str, goal: int) -> None:
    request = UpdateFactoryRequest(factory=Factory(id=factory_id, sprocket_production_goal=goal))
    request.update_mask.paths.append("sprocket_production_goal")
    await client.call(FactoryServiceStub(client.channel).UpdateFactory, request)


# Calls.


async def test_all_attempts_of_a_write_have_one_request_id(kind: str) -> None:
    async with scripted(*[status(UNAVAILABLE)] * 3) as (address, script), connect(kind, address) as client:
        await create(client)
    assert len(script.requests) == 4
    assert len({each.request_id for each in script.requests} - {""}) == 1


async def test_a_request_that_is_sent_twice_is_two_requests(kind: str, service: Service) -> None:
    async with connect(kind, service.address) as client:
        assert (await create(client)).id != (await create(client)).id
    assert not CREATE.request_id


async def test_a_request_id_of_the_caller_is_sent(kind: str) -> None:
    async with scripted() as (address, script), connect(kind, address) as client:
        request = CreateLocationRequest(request_id=MISSING_ID)
        await client.call(LocationServiceStub(client.channel).CreateLocation, request)
    assert script.requests == [request]


async def test_more_attempts_are_made_than_the_five_of_grpc(kind: str) -> None:
    async with scripted(*[status(UNAVAILABLE)] * 6) as (address, script), connect(kind, address) as client:
        await create(client)
    assert len(script.requests) == 7


@pytest.mark.parametrize("code", [ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_a_retry_waits_as_long_as_the_server_asks(kind: str, code: grpc.StatusCode) -> None:
    began = time.monotonic()
    async with scripted(status(code, retry_info(1.5))) as (address, script), connect(kind, address) as client:
        await create(client)
    assert len(script.requests) == 2
    assert time.monotonic() - began >= 1.5


async def test_a_retry_that_would_be_too_late_is_not_made(kind: str) -> None:
    async with (
        scripted(status(ABORTED, retry_info(3600))) as (address, script),
        connect(kind, address) as client,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        with pytest.raises(ServiceError) as raised:
            await create(client)
    assert len(script.requests) == 1
    assert raised.value.retry_after_seconds == 3600


async def test_an_error_that_a_retry_does_not_solve_is_raised_at_once(kind: str) -> None:
    async with scripted(status(ABORTED)) as (address, script), connect(kind, address) as client:
        with pytest.raises(ServiceError):
            await create(client)
    assert len(script.requests) == 1


async def test_without_a_server_a_call_ends_with_its_deadline(kind: str) -> None:
    async with connect(kind, free_address(), timeout_seconds=0.5) as client, asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ServiceError) as raised:
            await create(client)
    assert raised.value.code in {UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert raised.value.reason == ""
    assert isinstance(raised.value.__cause__, grpc.RpcError)


async def test_the_api_key_is_sent_with_each_call(kind: str) -> None:
    key = "example"
    async with scripted() as (address, script), connect(kind, address, api_key=key) as client:
        await create(client)
    assert script.metadata["authorization"] == f"Bearer {key}"


# Errors.


async def test_an_error_names_the_invalid_fields(kind: str, service: Service) -> None:
    async with connect(kind, service.address) as client:
        invalid = CreateLocationRequest(location=location(country_code="USA", display_name=" "))
        with pytest.raises(ServiceError) as raised:
            await client.call(LocationServiceStub(client.channel).CreateLocation, invalid)
    error = raised.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELD")
    assert {each.field for each in error.violations} == {"location.display_name", "location.country_code"}
    assert all(each.description for each in error.violations)
    assert str(error) == f"INVALID_ARGUMENT: {error.message}"


async def test_an_error_has_its_reason_and_what_it_is_about(kind: str, service: Service) -> None:
    async with connect(kind, service.address) as client:
        with pytest.raises(ServiceError) as raised:
            await client.call(LocationServiceStub(client.channel).GetLocation, GetLocationRequest(id=MISSING_ID))
    error = raised.value
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_RESOURCE_NOT_FOUND")
    assert MISSING_ID in error.metadata.values()
    assert error.retry_after_seconds is None


async def test_an_error_names_the_conditions_that_are_not_met(kind: str) -> None:
    unmet = details.PreconditionFailure.Violation(type="REFERENCE", subject="an id", description="is in use")
    failure = status(grpc.StatusCode.FAILED_PRECONDITION, details.PreconditionFailure(violations=[unmet]))
    async with scripted(failure) as (address, _), connect(kind, address) as client:
        with pytest.raises(ServiceError) as raised:
            await create(client)
    assert raised.value.violations == (FieldViolation("an id", "is in use"),)


# Pages.


async def test_all_pages_are_read(kind: str, service: Service) -> None:
    created = [(await create_location(service)).id for _ in range(5)]
    request = ListLocationsRequest(page_size=2)
    async with connect(kind, service.address) as client:
        pages = client.pages(LocationServiceStub(client.channel).ListLocations, request)
        sizes_and_ids = [(len(page.locations), [each.id for each in page.locations]) async for page in pages]
    assert [size for size, _ in sizes_and_ids] == [2, 2, 1]
    assert [each for _, ids in sizes_and_ids for each in ids] == created
    assert not request.page_token


async def test_an_empty_list_is_one_page(kind: str, service: Service) -> None:
    async with connect(kind, service.address) as client:
        pages = client.pages(FactoryServiceStub(client.channel).ListFactories, ListFactoriesRequest())
        assert [list(page.factories) async for page in pages] == [[]]


# Charts.


async def test_a_history_ends(kind: str, service: Service) -> None:
    factory = await create_factory(service)
    async with connect(kind, service.address) as client, asyncio.timeout(PATIENCE_SECONDS):
        history = client.follow(
            FactoryServiceStub(client.channel).GetFactoryChart, GetFactoryChartRequest(factory_id=factory.id)
        )
        assert [pair async for each in history for pair in numbers(each.chart)] == [(10, 0)]


async def test_the_charts_of_factories_are_followed(kind: str, service: Service) -> None:
    factories = [(await create_factory(service)).id for _ in range(2)]
    seen: set[str] = set()
    async with connect(kind, service.address) as client, asyncio.timeout(PATIENCE_SECONDS):
        request = FollowFactoryChartsRequest(factory_ids=factories)
        async for response in client.follow(FactoryServiceStub(client.channel).FollowFactoryCharts, request):
            seen.update(each.factory_id for each in response.charts)
            if seen == set(factories):
                return


async def test_a_chart_that_does_not_exist_is_an_error(kind: str, service: Service) -> None:
    async with connect(kind, service.address) as client, asyncio.timeout(PATIENCE_SECONDS):
        request = GetFactoryChartRequest(factory_id=MISSING_ID, follow=True)
        responses = client.follow(FactoryServiceStub(client.channel).GetFactoryChart, request)
        with pytest.raises(ServiceError) as raised:
            await anext(responses)
    assert raised.value.code is grpc.StatusCode.NOT_FOUND


async def test_a_stream_without_a_server_ends_with_its_deadline(kind: str) -> None:
    began = time.monotonic()
    async with connect(kind, free_address(), timeout_seconds=0.5) as client, asyncio.timeout(PATIENCE_SECONDS):
        request = GetFactoryChartRequest(factory_id=MISSING_ID, follow=True)
        responses = client.follow(FactoryServiceStub(client.channel).GetFactoryChart, request)
        with pytest.raises(ServiceError) as raised:
            await anext(responses)
    assert raised.value.code is UNAVAILABLE
    assert time.monotonic() - began < 10  # gRPC's own retries would take 15 s before the first error
