"""Calls whose request is late, missing or not read: they are authenticated, limited and ended all the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.sprocket_type_pb2 import ListSprocketTypesRequest
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refuses
from tests.conformance.rpcs import METHODS, path
from tests.support.callers import bearer, create_key
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import create_factory
from tests.support.service import Service, running_service
from tests.support.unread import unread_call

PATIENCE_SECONDS = 60

HEALTH = list(health_pb2.DESCRIPTOR.services_by_name["Health"].methods)
REFLECTION = list(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].methods)

LATE = grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_ARRIVAL_TIMEOUT"
STRANGER = grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED"
MALFORMED = grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_MALFORMED_REQUEST"


async def never() -> AsyncIterator[bytes]:
    """Send no request, and do not say that none follows."""
    await asyncio.Event().wait()
    yield b""


async def nothing() -> AsyncIterator[bytes]:
    """Send no request, and say so."""
    data: bytes
    for data in ():
        yield data


async def call(service: Service, method: MethodDescriptor, requests: Callable[[], AsyncIterator[bytes]]) -> None:
    """Call a method with any number of requests, as the wire allows, and read its first response."""
    channel: Any = service.channel
    kind = channel.stream_stream if method.server_streaming else channel.stream_unary
    started = kind(path(method))(requests(), timeout=PATIENCE_SECONDS)
    try:
        if not method.server_streaming:
            await started
        elif await started.read() is grpc.aio.EOF:
            await started.code()
    finally:
        started.cancel()


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Service]:
    """A server that authenticates, and waits for requests longer than the tests."""
    async with running_service(database_url, Settings(api_keys=True, arrival_timeout_seconds=3600)) as running:
        yield running


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[Service]:
    """A server that waits for requests only for a moment, and has room for one call."""
    settings = Settings(arrival_timeout_seconds=0.1, concurrency_limit=1, stream_limit=1)
    async with running_service(database_url, settings) as running:
        yield running


@pytest.mark.parametrize("method", METHODS, ids=path)
async def test_a_stranger_is_refused_before_the_request_arrives(guarded: Service, method: MethodDescriptor) -> None:
    with refuses(*STRANGER):
        await call(guarded, method, never)


@pytest.mark.parametrize("method", [*METHODS, *HEALTH, *REFLECTION], ids=path)
async def test_a_call_whose_request_does_not_arrive_ends_and_frees_its_slot(
    impatient: Service, method: MethodDescriptor
) -> None:
    for _ in range(2):
        with refuses(*LATE) as failure:
            await call(impatient, method, never)
        assert failure.info.metadata == {"seconds": "0.1"}


@pytest.mark.parametrize("method", [*METHODS, *HEALTH], ids=path)
async def test_a_call_without_any_request_is_malformed(service: Service, method: MethodDescriptor) -> None:
    with refuses(*MALFORMED):
        await call(service, method, nothing)


@pytest.mark.parametrize("method", [*HEALTH, *REFLECTION], ids=path)
async def test_health_and_reflection_refuse_bytes_that_are_no_request_and_log_no_traceback(
    service: Service, method: MethodDescriptor, caplog: pytest.LogCaptureFixture
) -> None:
    async def garbage() -> AsyncIterator[bytes]:
        yield b"\xff\xff\xff"

    with refuses(*MALFORMED):
        await call(service, method, garbage)
    assert "Traceback" not in caplog.text


async def test_health_lists_all_services_with_their_statuses(service: Service) -> None:
    channel: Any = service.channel
    answer = await channel.unary_unary("/grpc.health.v1.Health/List")(b"")
    statuses = health_pb2.HealthListResponse.FromString(answer).statuses  # type: ignore[attr-defined]  # not in the stubs
    assert {method.containing_service.full_name for method in METHODS} < set(statuses)
    assert {each.status for each in statuses.values()} == {health_pb2.HealthCheckResponse.SERVING}


async def test_a_request_over_the_limit_of_its_method_is_refused(database_url: str) -> None:
    async with running_service(database_url, Settings(message_bytes_maximum=8 << 20)) as served:
        request = CreateLocationRequest()
        request.location.display_name = "x" * (4 << 20)
        with refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_REQUEST_TOO_LARGE") as failure:
            await served.locations.CreateLocation(request)
        assert failure.message.startswith(f"the request has {request.ByteSize()} bytes")


async def test_a_caller_has_a_share_of_the_calls_and_others_are_served(database_url: str) -> None:
    request = ListLocationsRequest()
    async with running_service(database_url, Settings(api_keys=True, concurrency_limit=4)) as served:
        greedy, modest = (bearer(create_key(database_url, "read", name=name).text) for name in ("greedy", "modest"))
        async with open_transaction(database_url, "LOCK TABLE location") as holder:
            waiting = [asyncio.ensure_future(served.locations.ListLocations(request, metadata=greedy)) for _ in "12"]
            await waiting_for(holder, 2)
            with refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_PRINCIPAL_LIMIT") as failure:
                await served.locations.ListLocations(request, metadata=greedy)
            assert failure.info.metadata == {"principal": "api-key:greedy", "limit": "2 calls"}
            assert failure.detail(QuotaFailure).violations[0].subject == "api-key:greedy"
            assert failure.detail(RetryInfo).retry_delay.ToNanoseconds() > 0
            await served.sprocket_types.ListSprocketTypes(ListSprocketTypesRequest(), metadata=modest)
        await asyncio.gather(*waiting)
        await served.locations.ListLocations(request, metadata=greedy)


async def test_a_caller_with_unfinished_requests_delays_only_its_own(database_url: str) -> None:
    settings = Settings(api_keys=True, arrival_limit=8, arrival_timeout_seconds=3600)
    request = ListLocationsRequest()
    async with running_service(database_url, settings) as served:
        greedy, modest = (bearer(create_key(database_url, "read", name=name).text) for name in ("greedy", "modest"))
        channel: Any = served.channel
        list_locations_path = "/sprocket.v1.LocationService/ListLocations"
        list_locations = channel.stream_unary(list_locations_path)
        held = [list_locations(never(), metadata=greedy) for _ in range(20)]
        large = ListLocationsRequest(filter="x" * (1 << 20)).SerializeToString()
        held += [channel.unary_unary(list_locations_path)(large, metadata=greedy) for _ in range(20)]
        await _until_timeout(lambda: served.locations.ListLocations(request, metadata=greedy, timeout=0.5))
        for _ in range(10):
            await served.locations.ListLocations(request, metadata=modest, timeout=PATIENCE_SECONDS)
        for each in held:
            each.cancel()
            await each.code()
        await served.locations.ListLocations(request, metadata=greedy, timeout=PATIENCE_SECONDS)


async def _until_timeout(attempt: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline
        try:
            await attempt()
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017  # its turn does not come
            return


async def test_requests_that_never_arrive_give_way_to_those_of_others_at_the_same_address(database_url: str) -> None:
    settings = Settings(arrival_limit=8, arrival_timeout_seconds=3600)
    async with running_service(database_url, settings) as served:
        channel: Any = served.channel
        list_locations = channel.stream_unary("/sprocket.v1.LocationService/ListLocations")
        held = [list_locations(never()) for _ in range(50)]
        for _ in range(10):
            await served.locations.ListLocations(ListLocationsRequest(), timeout=PATIENCE_SECONDS)
        for each in held:
            each.cancel()
        assert LATE[0] in {await each.code() for each in held}


@pytest.mark.parametrize("method", ["LocationService/ListLocations", "FactoryService/GetFactoryChart"])
async def test_a_response_that_is_not_read_holds_its_slot_until_its_client_is_gone(
    database_url: str, method: str
) -> None:
    settings = Settings(concurrency_limit=1, stream_limit=1)
    async with running_service(database_url, settings) as served:
        factory = await create_factory(served)
        chart = GetFactoryChartRequest(factory_id=factory.id) if "Chart" in method else None
        request = chart.SerializeToString() if chart else b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await _is_held(served, chart, f"/sprocket.v1.{method}", request):
                pass  # our own call had the slot when it came
        await _until_code(served, chart, grpc.StatusCode.OK)


async def _is_held(served: Service, chart: GetFactoryChartRequest | None, path: str, request: bytes) -> bool:
    """Whether a response that is not read takes the slot of all other calls, for as long as it is looked for."""
    with unread_call(served.address, path, request):
        await asyncio.sleep(0.5)
        codes = [await _code(served, chart) for _ in range(5)]
    return set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}


async def _until_code(served: Service, chart: GetFactoryChartRequest | None, wanted: grpc.StatusCode) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await _code(served, chart) is not wanted:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _code(served: Service, chart: GetFactoryChartRequest | None) -> grpc.StatusCode:
    try:
        if chart:
            assert [each async for each in served.factories.GetFactoryChart(chart)]
        else:
            await served.locations.ListLocations(ListLocationsRequest())
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
