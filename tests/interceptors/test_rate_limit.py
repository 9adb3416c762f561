"""The rate limit: a number of calls per caller and period, counted in this process or in Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from pydantic import SecretStr

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.caller import ANONYMOUS, Caller, set_caller
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import RateLimitedError
from sprocket_grpc.interceptors import rate_limit
from sprocket_grpc.interceptors.rate_limit import RateLimit
from tests.conformance.promises import refuses
from tests.support.errors import Failure
from tests.support.resources import MISSING_ID
from tests.support.service import Service, running_service

LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_RATE_LIMITED"


async def call(service: Service) -> None:
    await service.locations.ListLocations(ListLocationsRequest())


async def refused_call(service: Service) -> Failure:
    """Call until the limit of one call refuses it, at the third call at the latest."""
    with refuses(*LIMITED) as failure:
        for _ in range(3):  # the sliding window is an estimate, which may allow one more call
            await call(service)
    return failure


def delay_seconds(failure: Failure) -> float:
    delay: float = failure.detail(RetryInfo).retry_delay.ToNanoseconds() / 1e9
    return delay


async def test_a_caller_over_the_limit_is_refused_with_its_name_and_a_retry_delay(database_url: str) -> None:
    async with running_service(database_url, Settings(rate_limit="2/year")) as service:
        for _ in range(2):
            await call(service)
        with refuses(*LIMITED) as failure:
            await call(service)
    assert failure.info.metadata == {"principal": ANONYMOUS, "limit": "2 per 1 year"}
    assert [violation.subject for violation in failure.detail(QuotaFailure).violations] == [ANONYMOUS]
    assert delay_seconds(failure) > 0


async def test_a_call_after_the_retry_delay_succeeds(database_url: str) -> None:
    async with running_service(database_url, Settings(rate_limit="1/second")) as service:
        await asyncio.sleep(delay_seconds(await refused_call(service)))
        await call(service)


async def test_a_stream_counts_as_a_call(database_url: str) -> None:
    async with running_service(database_url, Settings(rate_limit="1/year")) as service:
        await call(service)
        with refuses(*LIMITED):
            await anext(aiter(service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=MISSING_ID))))


async def test_health_checks_are_not_limited(database_url: str) -> None:
    async with running_service(database_url, Settings(rate_limit="1/year")) as service:
        await refused_call(service)
        health: Any = HealthStub(service.channel)
        for _ in range(3):
            assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING


async def test_every_caller_has_its_own_limit() -> None:
    limit = RateLimit("1/year", None)
    unary_call: Any = SimpleNamespace()
    for principal in ("one", "other"):
        set_caller(Caller(principal))
        await limit.intercept(unary_call, call_next=AsyncMock())
        with pytest.raises(RateLimitedError, match=principal):
            await limit.intercept(unary_call, call_next=AsyncMock())


@asynccontextmanager
async def address_that(answer: Callable[..., Any]) -> AsyncIterator[str]:
    """Listen on a free port, and handle each connection with `answer`."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up
    writer.close()


async def disconnect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("answer", [hang, disconnect, None], ids=["hangs", "disconnects", "refuses connections"])
async def test_while_redis_is_unavailable_calls_are_not_limited_and_the_log_says_so_once(
    database_url: str, caplog: pytest.LogCaptureFixture, answer: Callable[..., Any] | None
) -> None:
    async with address_that(answer or disconnect) as address:
        if answer:
            await assert_calls_succeed(database_url, address)
    if answer is None:
        await assert_calls_succeed(database_url, address)
    assert len([record for record in caplog.records if "the rate limit is off" in record.message]) == 1


async def test_while_redis_is_unavailable_only_the_first_call_of_each_pause_asks_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def hang_and_count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await hang(reader, writer)

    monkeypatch.setattr(rate_limit, "_PAUSE_SECONDS", 3600)
    async with address_that(hang_and_count) as address:
        url = SecretStr(f"redis://{address}/0")
        async with running_service(database_url, Settings(rate_limit="1/year", rate_limit_storage=url)) as service:
            await call(service)
            once = asked
            for _ in range(5):
                await call(service)
            assert asked == once > 0
            monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 3600))
            await call(service)
            assert asked > once


async def assert_calls_succeed(database_url: str, redis_address: str) -> None:
    url = SecretStr(f"redis://{redis_address}/0")
    async with running_service(database_url, Settings(rate_limit="1/year", rate_limit_storage=url)) as service:
        for _ in range(3):
            await call(service)
