"""Streams by HTTP: charts as Connect and gRPC-Web, compressed or not, and how they end."""

import asyncio
import base64
import gzip
import json
import logging
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.telemetry.logs import FIELDS
from tests.support.http import Response, opened, post, send
from tests.support.resources import MISSING_ID, create_factory, create_sprocket
from tests.support.waiting import until
from tests.support.web import FACTORIES, LOCATIONS, WebService, running_web_service

CHART = f"{FACTORIES}/GetFactoryChart"
LIST = f"{LOCATIONS}/ListLocations"
FOLLOWING = Settings(follow_tick_seconds=0.02)
STREAM = {"content_type": "application/connect+json"}


def enveloped(message: object) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", 0, len(data)) + data


async def envelopes(response: Response) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the flags and content of each envelope, as it arrives."""
    received = b""
    async for chunk in response.chunks():
        received += chunk
        while len(received) >= 5 and len(received) >= 5 + (length := struct.unpack_from(">I", received, 1)[0]):
            yield received[0], received[5 : 5 + length]
            received = received[5 + length :]


async def test_a_chart_is_streamed_and_its_end_has_the_trailers(web: WebService) -> None:
    factory = await create_factory(web)
    body = enveloped({"factoryId": factory.id})
    async with opened(web.web, "POST", CHART, body, **STREAM) as response:
        *responses, (flags, last) = [each async for each in envelopes(response)]
        assert response.headers["content-type"] == "application/connect+json"
    assert [flags for flags, _ in responses] == [0] * len(responses)
    assert json.loads(responses[0][1])["chart"]["sprocketProductionGoal"] == ["10"]
    assert flags == 2
    assert json.loads(last)["metadata"]["x-request-id"]


async def test_an_entry_arrives_while_the_stream_is_open(database_url: str) -> None:
    async with running_web_service(database_url, FOLLOWING) as web:
        factory = await create_factory(web)
        body = enveloped({"factoryId": factory.id, "follow": True})
        async with opened(web.web, "POST", CHART, body, **STREAM) as response:
            arriving = envelopes(response)
            await anext(arriving)
            await create_sprocket(web, factory_id=factory.id)
            async with asyncio.timeout(60):
                while json.loads((await anext(arriving))[1]).get("chart", {}).get("sprocketProductionActual") != ["1"]:
                    pass


async def test_a_client_that_leaves_ends_the_call(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        async with running_web_service(database_url, FOLLOWING) as web:
            factory = await create_factory(web)
            body = enveloped({"factoryId": factory.id, "follow": True})
            async with opened(web.web, "POST", CHART, body, **STREAM) as response:
                await anext(envelopes(response))
            await until(lambda: f"{CHART} CANCELLED" in caplog.messages)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", ["application/connect+json", "application/grpc-web+proto"])
async def test_a_stop_ends_a_stream_with_unavailable_a_token_and_a_delay(database_url: str, kind: str) -> None:
    async with running_web_service(database_url, FOLLOWING) as web:
        factory = await create_factory(web)
        request = GetFactoryChartRequest(factory_id=factory.id, follow=True)
        binary = kind.startswith("application/grpc-web")
        body = enveloped(request.SerializeToString() if binary else {"factoryId": factory.id, "follow": True})
        async with opened(web.web, "POST", CHART, body, content_type=kind) as response:
            arriving = envelopes(response)
            first = await anext(arriving)
            web.chart_poller.stop()
            async with asyncio.timeout(60):
                *_, (_, before), (_, last) = [first, *[each async for each in arriving]]
    if binary:
        assert GetFactoryChartResponse.FromString(before).resume_token
        assert b"grpc-status: 14\r\n" in last
    else:
        assert json.loads(before)["resumeToken"]
        error = json.loads(last)["error"]
        assert error["code"] == "unavailable"
        assert "google.rpc.RetryInfo" in [each["type"] for each in error["details"]]


async def test_an_error_of_a_stream_is_in_its_last_envelope(web: WebService) -> None:
    answered = await send(web.web, "POST", CHART, enveloped({"factoryId": MISSING_ID}), **STREAM)
    assert answered.status == 200
    assert json.loads(answered.body[5:])["error"]["code"] == "not_found"


async def test_a_deadline_ends_a_stream(web: WebService) -> None:
    factory = await create_factory(web)
    body = enveloped({"factoryId": factory.id, "follow": True})
    async with opened(web.web, "POST", CHART, body, connect_timeout_ms="500", **STREAM) as response:
        async with asyncio.timeout(60):
            *_, (_, last) = [each async for each in envelopes(response)]
    assert json.loads(last)["error"]["code"] == "deadline_exceeded"


async def test_a_deadline_of_grpc_web_ends_a_call(web: WebService) -> None:
    kind = "application/grpc-web"
    answered = await send(web.web, "POST", LIST, enveloped(b""), content_type=kind, grpc_timeout="0m")
    assert b"grpc-status: 4\r\n" in answered.body


async def test_a_stream_without_credentials_is_refused(database_url: str) -> None:
    async with running_web_service(database_url, Settings(api_keys=True)) as web:
        answered = await send(web.web, "POST", CHART, enveloped({}), **STREAM)
        assert json.loads(answered.body[5:])["error"]["code"] == "unauthenticated"


async def test_large_messages_of_a_stream_are_compressed_for_clients_that_accept_it(web: WebService) -> None:
    factory = await create_factory(web)
    for _ in range(60):
        await create_sprocket(web, factory_id=factory.id)
    body = enveloped({"factoryId": factory.id})
    async with opened(web.web, "POST", CHART, body, connect_accept_encoding="gzip", **STREAM) as response:
        assert response.headers["connect-content-encoding"] == "gzip"
        found = [each async for each in envelopes(response)]
    compressed = [data for flags, data in found if flags & 1]
    assert compressed
    assert all(json.loads(gzip.decompress(data)) for data in compressed)


async def test_grpc_web_as_text_is_base64(web: WebService) -> None:
    factory = await create_factory(web)
    request = enveloped(GetFactoryChartRequest(factory_id=factory.id).SerializeToString())
    kind = "application/grpc-web-text"
    answered = await send_text(web, base64.b64encode(request), kind)
    assert GetFactoryChartResponse.FromString(answered[0][1]).resume_token
    assert answered[-1][0] == 0x80
    assert b"grpc-status: 0\r\n" in answered[-1][1]


async def send_text(web: WebService, body: bytes, kind: str) -> list[tuple[int, bytes]]:
    """Call a method in text, and return the envelopes."""
    async with opened(web.web, "POST", CHART, body, content_type=kind) as response:
        assert response.headers["content-type"] == kind
        data = b"".join([base64.b64decode(each) async for each in response.chunks()])
    found = []
    while data:
        length = struct.unpack_from(">I", data, 1)[0]
        found.append((data[0], data[5 : 5 + length]))
        data = data[5 + length :]
    return found


async def test_an_error_of_grpc_web_is_in_trailers_with_its_details(web: WebService) -> None:
    answered = await send(
        web.web,
        "POST",
        LIST,
        enveloped(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        content_type="application/grpc-web",
    )
    lines = answered.body[5:].decode().splitlines()
    assert answered.body[0] == 0x80
    assert "grpc-status: 3" in lines
    assert any(each.startswith("grpc-status-details-bin: ") for each in lines)
    assert any(each.startswith("x-request-id: ") for each in lines)


async def test_a_call_is_logged_like_one_of_grpc(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(web_proxies="127.0.0.1")
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        async with running_web_service(database_url, settings) as web:
            await post(web.web, LIST, {}, x_request_id="mine", x_forwarded_for="203.0.113.7")
    fields = logged(caplog, LIST)
    assert (fields["code"], fields["request_id"], fields["responses"]) == ("OK", "mine", 1)
    assert fields["peer"] == "ipv4:203.0.113.7:0"


async def test_a_forwarded_address_is_believed_only_of_a_proxy_that_is_listed(
    web: WebService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        await post(web.web, LIST, {}, x_forwarded_for="203.0.113.7", x_forwarded_proto="https")
    assert str(logged(caplog, LIST)["peer"]).startswith("ipv4:127.0.0.1:")


def logged(caplog: pytest.LogCaptureFixture, method: str) -> dict[str, Any]:
    """Return the fields of the only line about a method."""
    [record] = [each for each in caplog.records if each.getMessage().startswith(method)]
    fields: dict[str, Any] = getattr(record, FIELDS)
    return fields
