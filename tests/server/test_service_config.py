"""The service config for clients: its retry policy and timeouts, and how gRPC applies them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from sprocket.v1.factory_pb2 import ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.server.test_contract import methods
from tests.support.command_line import serving
from tests.support.resources import location
from tools.service_config import service_config

pytestmark = pytest.mark.slow

FILE = resources.files("sprocket.v1") / "service_config.json"
CONFIG: dict[str, Any] = json.loads(FILE.read_text())
OPTIONS = [("grpc.service_config", FILE.read_text())]

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
METHODS = methods()
UnaryCall: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)


def is_read(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


# Content.


def test_the_file_is_generated_from_the_contract() -> None:
    assert service_config() == CONFIG, "run `make generate`"


@each_method
def test_every_method_is_in_it_once_and_only_those_without_side_effects_are_retried(method: MethodDescriptor) -> None:
    name = {"service": method.containing_service.full_name, "method": method.name}
    [found] = [each for each in CONFIG["methodConfig"] if name in each["name"]]
    assert ("retryPolicy" in found) is is_read(method)
    assert ("timeout" in found) is not method.server_streaming


def test_it_names_exactly_the_methods_of_the_contract() -> None:
    named = [f"/{name['service']}/{name['method']}" for each in CONFIG["methodConfig"] for name in each["name"]]
    assert sorted(named) == sorted(map(path, METHODS))


# Behaviour of gRPC.


class AlwaysUnavailable(grpc.GenericRpcHandler):
    """Answers every call but health checks with UNAVAILABLE, and counts the attempts."""

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method
        if method.startswith("/grpc.health."):
            return None
        self.attempts[method] = self.attempts.get(method, 0) + 1
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    # With this pushback, clients retry after 1 ms instead of the backoff of their policy. (0 makes them hang.)
    await context.abort(grpc.StatusCode.UNAVAILABLE, "not now", (("grpc-retry-pushback-ms", "1"),))


@asynccontextmanager
async def unavailable_server() -> AsyncIterator[tuple[str, AlwaysUnavailable, health.HealthServicer]]:
    handler, servicer = AlwaysUnavailable(), health.HealthServicer()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", handler, servicer
    finally:
        await server.stop(grace=None)


async def fails(call: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_client_attempts_a_read_five_times_and_a_write_once() -> None:
    throttled_never = json.dumps({**CONFIG, "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1}})
    async with (
        unavailable_server() as (address, handler, _),
        grpc.aio.insecure_channel(address, options=[("grpc.service_config", throttled_never)]) as channel,
    ):
        for method in METHODS:
            call: UnaryCall = channel.unary_unary(path(method))
            assert await fails(call(b"")) is UNAVAILABLE
    assert handler.attempts == {path(method): 5 if is_read(method) else 1 for method in METHODS}


async def test_retry_throttling_limits_retries_while_all_calls_fail() -> None:
    calls = 100
    async with (
        unavailable_server() as (address, handler, _),
        grpc.aio.insecure_channel(address, options=OPTIONS) as channel,
    ):
        factories = FactoryServiceStub(channel)
        for _ in range(calls):
            await fails(factories.ListFactories(ListFactoriesRequest()))
    [attempts] = handler.attempts.values()
    assert calls < attempts < calls * 1.6


async def test_no_call_goes_to_a_server_that_is_not_serving() -> None:
    async with (
        unavailable_server() as (address, handler, servicer),
        grpc.aio.insecure_channel(address, options=OPTIONS) as channel,
    ):
        await servicer.set("", HealthCheckResponse.NOT_SERVING)
        locations = LocationServiceStub(channel)
        assert await fails(locations.CreateLocation(CreateLocationRequest())) is UNAVAILABLE
    assert handler.attempts == {}


# With longer timeouts, because on a loaded machine a server may take longer to start than reads are retried.
PATIENT = FILE.read_text().replace('"10s"', '"60s"').replace('"0.2s"', '"1s"').replace('"5s"', '"30s"')


async def test_during_a_restart_of_the_server_a_read_succeeds_and_a_write_fails_immediately(database_url: str) -> None:
    with serving(database_url=database_url) as first:
        async with grpc.aio.insecure_channel(first.address, options=[("grpc.service_config", PATIENT)]) as channel:
            locations = LocationServiceStub(channel)
            create = CreateLocationRequest(location=location())
            await locations.CreateLocation(create)
            first.process.kill()
            assert await fails(locations.CreateLocation(create)) is UNAVAILABLE
            read = asyncio.ensure_future(locations.ListLocations(ListLocationsRequest()))
            second = serving(database_url=database_url, listen=first.address)
            await asyncio.to_thread(second.__enter__)
            try:
                assert len((await read).locations) == 1
            finally:
                second.__exit__(None, None, None)
