"""`sprocket.client` while it waits: for a retry, for a server, and for a stream that is silent."""

import asyncio
import math
import socket
import subprocess
import sys
import time
from contextlib import closing
from ipaddress import ip_address
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import grpc
import pytest
from cryptography.x509 import IPAddress
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status

from sprocket.client import AsyncClient, Client, Retry, ServiceError, silence
from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.deployment.python_client import connect, scripted, status
from tests.deployment.test_python_client import CREATE, PATIENCE_SECONDS, create, retry_info
from tests.support.callers import certificate
from tests.support.chart_server import IDENTIFIER, chart_response, chart_server
from tests.support.following import numbers
from tests.support.waiting import wait_until

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

both = pytest.mark.parametrize("kind", ["threads", "asyncio"])


# Retries.


@both
async def test_each_retry_is_told_with_its_reason_and_the_time_that_is_left(kind: str) -> None:
    told: list[Retry] = []
    failures = [status(UNAVAILABLE), status(grpc.StatusCode.ABORTED, retry_info(0.5))]
    async with scripted(*failures) as (address, _), connect(kind, address, on_retry=told.append) as client:
        await create(client)
    assert [each.error.code for each in told] == [UNAVAILABLE, grpc.StatusCode.ABORTED]
    assert told[1].pause_seconds >= 0.5
    assert all(0 < each.pause_seconds < each.seconds_left <= 30 for each in told)


@both
async def test_an_error_raised_before_a_retry_ends_the_call(kind: str) -> None:
    def give_up(retry: Retry) -> None:
        raise retry.error

    async with scripted(status(UNAVAILABLE)) as (address, script), connect(kind, address, on_retry=give_up) as client:
        with pytest.raises(ServiceError) as raised:
            await create(client)
    assert len(script.requests) == 1
    assert isinstance(raised.value.__cause__, grpc.RpcError)


@both
async def test_a_call_that_a_server_or_proxy_cancels_is_retried(kind: str) -> None:
    async with scripted(status(grpc.StatusCode.CANCELLED)) as (address, script), connect(kind, address) as client:
        await create(client)
    assert len(script.requests) == 2


@both
async def test_without_a_limit_of_time_a_call_is_retried_too(kind: str) -> None:
    async with (
        scripted(status(UNAVAILABLE)) as (address, script),
        connect(kind, address, timeout_seconds=math.inf) as client,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        await create(client)
    assert len(script.requests) == 2


async def test_close_ends_a_call_that_waits_for_a_retry() -> None:
    waits = Event()
    async with scripted(status(UNAVAILABLE, retry_info(3600))) as (address, _):
        client = Client(address, timeout_seconds=math.inf, on_retry=lambda _: waits.set())
        call = asyncio.create_task(
            asyncio.to_thread(client.call, LocationServiceStub(client.channel).CreateLocation, CREATE)
        )
        assert await asyncio.to_thread(waits.wait, PATIENCE_SECONDS)
        client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(ServiceError) as raised:
                await call
    assert raised.value.code is UNAVAILABLE


async def test_close_ends_an_asynchronous_call_that_waits_for_a_retry() -> None:
    waits = asyncio.Event()
    async with scripted(status(UNAVAILABLE, retry_info(0.5))) as (address, script):
        client = AsyncClient(address, on_retry=lambda _: waits.set())
        call = asyncio.create_task(client.call(LocationServiceStub(client.channel).CreateLocation, CREATE))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waits.wait()
            await client.close()
            with pytest.raises(ServiceError):
                await call
    assert len(script.requests) == 1


async def test_a_call_that_close_ends_is_no_outage() -> None:
    told: list[Retry] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # accepts connections, and never answers
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}", on_retry=told.append)
        method = LocationServiceStub(client.channel).CreateLocation
        call = asyncio.create_task(asyncio.to_thread(client.call, method, CREATE))
        accepted, _ = await asyncio.to_thread(silent.accept)
        with closing(accepted):
            client.close()
            with pytest.raises(ServiceError):
                await call
    assert not told


@both
async def test_a_stream_at_a_server_that_accepts_connections_and_never_answers_ends_with_its_deadline(
    kind: str,
) -> None:
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with connect(kind, address, timeout_seconds=1) as client:
            request = GetFactoryChartRequest(factory_id=IDENTIFIER)
            with pytest.raises(ServiceError):
                await anext(client.follow(FactoryServiceStub(client.channel).GetFactoryChart, request))
    assert time.monotonic() - began < 15  # gRPC waits for 20 s by default


# Channels.


@both
async def test_a_channel_of_the_caller_is_used_and_closed(kind: str) -> None:
    async with scripted() as (address, script):
        open_channel = grpc.insecure_channel if kind == "threads" else grpc.aio.insecure_channel
        channel = open_channel(address, options=[("grpc.primary_user_agent", "tests")])
        async with connect(kind, channel, api_key="example") as client:  # pragma: allowlist secret
            assert client.channel is channel
            await create(client)
    assert str(script.metadata["user-agent"]).startswith("tests ")
    assert script.metadata["authorization"] == "Bearer example"
    with pytest.raises((ValueError, grpc.aio.UsageError)):
        await LocationServiceStub(channel).CreateLocation(CREATE)


@both
async def test_with_credentials_the_connection_uses_tls(kind: str) -> None:
    root = certificate("root")
    shown = certificate("server", [IPAddress(ip_address("127.0.0.1"))], root)
    encrypted = grpc.ssl_server_credentials([(shown.key_pem, shown.pem)])
    trusted = grpc.ssl_channel_credentials(root.pem)
    async with scripted(credentials=encrypted) as (address, script), connect(kind, address, credentials=trusted) as c:
        await create(c)
    assert len(script.requests) == 1


# Streams.


@both
async def test_a_silent_stream_is_opened_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LONGEST_SILENCE_SECONDS", 2)
    told: list[Retry] = []
    silent = ([chart_response("one", (1, 5, 6))], None)
    last = ([chart_response("two", (2, 5, 7), end_of_history=True)], grpc.StatusCode.OK)
    with chart_server(silent, last) as server:
        async with connect(kind, server.address, on_retry=told.append) as client, asyncio.timeout(PATIENCE_SECONDS):
            responses = client.follow(
                FactoryServiceStub(client.channel).GetFactoryChart, GetFactoryChartRequest(factory_id=IDENTIFIER)
            )
            assert [pair async for each in responses for pair in numbers(each.chart)] == [(5, 6), (5, 7)]
    assert [each.resume_token for each in server.requests] == ["", "one"]
    assert [str(each.error) for each in told] == ["DEADLINE_EXCEEDED: no response for 2 s"]


def test_the_time_that_the_caller_takes_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LONGEST_SILENCE_SECONDS", 0.4)
    cancelled = Event()
    responses = silence.until_silent(iter("ab"), cancelled.set)
    assert next(responses) == "a"
    time.sleep(1)
    assert next(responses) == "b"
    assert not cancelled.is_set()


def test_the_watch_of_a_stream_ends_with_it() -> None:
    before = {*enumerate_threads()}
    assert [*silence.until_silent(iter("ab"), Event().set)] == ["a", "b"]
    wait_until(lambda: not {each for each in enumerate_threads() if each.name == "silence"} - before)


# Errors.


class BrokenError(grpc.RpcError):
    """An error with any details, as a proxy may send them."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return UNAVAILABLE

    def details(self) -> None:
        pass

    def trailing_metadata(self) -> tuple[Any, ...]:
        return (("grpc-status-details-bin", self._details),)


def packed(kind: str, value: bytes) -> bytes:
    """Return a google.rpc.Status with one detail."""
    return Status(
        details=[AnyMessage(type_url=f"type.googleapis.com/google.rpc.{kind}", value=value)]
    ).SerializeToString()


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff",
        Status(code=14).SerializeToString(),
        packed("RetryInfo", b"\xff"),
        packed("RetryInfo", b"\x08\x01"),  # a number in place of the delay
        packed("RetryInfo", b"\x0a\x03\x0a\x01x"),  # a text in place of its seconds
        packed("BadRequest", b"\x08\x01"),
        packed("ErrorInfo", b"\x08\x01\x18\x01"),
        packed("Help", b""),
    ],
)
def test_details_that_are_not_what_they_should_be_are_ignored(sent: bytes) -> None:
    error = ServiceError.of(BrokenError(sent))
    assert (error.message, error.reason, error.violations) == ("", "", ())
    assert not error.metadata
    assert not error.retry_after_seconds


# What it needs.

_IMPORTED = """
import sys, grpc
before = {*sys.modules}
import sprocket.client
for name in sorted({*sys.modules} - before):
    if name.partition(".")[0] not in sys.stdlib_module_names:
        print(name)
"""


def test_it_needs_grpcio_and_protobuf_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED], capture_output=True, check=True, text=True, timeout=PATIENCE_SECONDS
    )
    names = done.stdout.split()
    assert "sprocket.client.sync" in names
    needed = ("sprocket.", "google.protobuf.", "google._upb.")
    assert not [each for each in names if each != "google" and not f"{each}.".startswith(needed)]
