"""Requests that are wrong: each gets its status of HTTP and its code of Connect, and none is an error of the server."""

import asyncio
import base64
import gzip
import json
import logging
import struct
from contextlib import suppress
from typing import Any

import pytest

from sprocket_grpc.config.settings import Settings
from tests.support.http import connected, head, post, receive, send
from tests.support.web import FACTORIES, LOCATIONS, WebService, running_web_service

GET, LIST, CREATE = f"{LOCATIONS}/GetLocation", f"{LOCATIONS}/ListLocations", f"{LOCATIONS}/CreateLocation"
CHART = f"{FACTORIES}/GetFactoryChart"
JSON = {"content_type": "application/json"}
ZIPPED = gzip.compress(b"{}", mtime=0)
MANY = 1 << 20
SMALL = Settings(message_bytes_maximum=100_000)


def enveloped(data: bytes, flags: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", flags, len(data) if length is None else length) + data


def end_of_stream(body: bytes) -> Any:
    """Return the JSON in the last envelope of a body that has one."""
    flags, length = struct.unpack_from(">BI", body)
    assert (flags, length) == (2, len(body) - 5)
    return json.loads(body[5:])


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", GET, "GET, POST"),
        ("GET", CREATE, "POST"),
        ("HEAD", GET, "GET, POST"),
        ("DELETE", CHART, "POST"),
        ("GET", CHART, "POST"),
        ("POST", "/healthz/ready", "GET, HEAD"),
        ("OPTIONS", GET, "GET, POST"),
    ],
)
async def test_another_method_of_http_is_refused_with_those_that_are_accepted(
    web: WebService, method: str, path: str, allowed: str
) -> None:
    answered = await send(web.web, method, path)
    assert (answered.status, answered.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/nothing", "/sprocket.v1.LocationService/Nothing", "//", "/..%2f", "/%ff", "/%00"])
async def test_a_path_that_does_not_exist_is_not_found(web: WebService, path: str) -> None:
    answered = await post(web.web, path, {})
    assert (answered.status, answered.json["code"]) == (404, "unimplemented")


@pytest.mark.parametrize("path", [GET, CHART])
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/grpc", "\xff"]
)
async def test_another_content_type_is_refused_and_has_no_effect(web: WebService, path: str, kind: str) -> None:
    answered = await send(web.web, "POST", path, b'{"location":{}}', content_type=kind)
    assert (answered.status, answered.json["code"]) == (415, "unimplemented")
    assert "application/grpc-web" in answered.headers["accept-post"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"[" * 50_000,
        b'{"id":' * 50_000,
        b'{"id":1}',
        b'{"id":{"a":1}}',
        b'{"id":["a"]}',
        b'{"id":"a","id":"b"}',
        b'{"pageSize":%s}' % (b"9" * 6000),
        b'{"id":"\\ud800"}',
        b"\xff\xfe",
        b"\x00",
        b'{"id":"a"}x',
        b"NaN",
        b'{"@type":"x"}',
    ],
    ids=range(19),
)
@pytest.mark.parametrize("path", [GET, CHART])
async def test_a_body_that_is_no_message_is_malformed(web: WebService, path: str, body: bytes) -> None:
    if path == GET:
        answered = await send(web.web, "POST", path, body, **JSON)
        assert answered.status == 400, answered.body
        error = answered.json
    else:
        answered = await send(web.web, "POST", path, enveloped(body), content_type="application/connect+json")
        assert answered.status == 200
        error = end_of_stream(answered.body)["error"]
    assert error["code"] == "invalid_argument"
    assert error["details"][0]["debug"]["reason"] == "ERROR_REASON_MALFORMED_REQUEST"


@pytest.mark.parametrize("kind", ["", "+proto", "-text"])
@pytest.mark.parametrize(
    "body",
    [b"", b"\0", enveloped(b"", 2), enveloped(b"", 1), enveloped(b"ab", 0, 9), enveloped(b"", 0) * 2, b"\xff"],
    ids=range(7),
)
async def test_a_broken_envelope_of_grpc_web_is_an_invalid_argument(web: WebService, kind: str, body: bytes) -> None:
    answered = await send(web.web, "POST", LIST, body, content_type=f"application/grpc-web{kind}")
    assert answered.status == 200
    trailers = answered.body if kind != "-text" else base64.b64decode(answered.body)
    assert trailers[0] == 0x80
    assert b"grpc-status: 3\r\n" in trailers


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "12345678901", "soon", "\xb2"])
async def test_a_timeout_that_is_not_valid_is_refused(web: WebService, value: str) -> None:
    answered = await post(web.web, LIST, {}, connect_timeout_ms=value)
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")
    streamed = await send(
        web.web, "POST", CHART, b"", content_type="application/connect+json", connect_timeout_ms=value
    )
    assert end_of_stream(streamed.body)["error"]["code"] == "invalid_argument"
    by_grpc_web = await send(web.web, "POST", LIST, b"", content_type="application/grpc-web", grpc_timeout=value)
    assert b"grpc-status: 3\r\n" in by_grpc_web.body


async def test_an_encoding_that_is_not_known_is_unimplemented(web: WebService) -> None:
    answered = await post(web.web, LIST, {}, content_encoding="br")
    assert (answered.status, answered.json["code"]) == (501, "unimplemented")
    assert "gzip" in answered.json["message"]
    kind = "application/connect+json"
    streamed = await send(web.web, "POST", CHART, b"", content_type=kind, connect_content_encoding="br")
    assert end_of_stream(streamed.body)["error"]["code"] == "unimplemented"
    by_grpc_web = await send(web.web, "POST", LIST, b"", content_type="application/grpc-web", grpc_encoding="br")
    assert b"grpc-status: 12\r\n" in by_grpc_web.body


@pytest.mark.parametrize("body", [b"{}", b"", ZIPPED[:-4], ZIPPED * 2, ZIPPED[:2]], ids=range(5))
async def test_a_body_that_is_not_gzip_as_it_says_is_malformed(web: WebService, body: bytes) -> None:
    answered = await send(web.web, "POST", LIST, body, content_encoding="gzip", **JSON)
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "message=%7B%7D",
        "encoding=json",
        "encoding=xml&message=%7B%7D",
        "encoding=json&message=%7B%7D&connect=v2",
        "encoding=json&message=%7B%7D&compression=br",
        "encoding=json&message=%7B%7D&base64=maybe",
        "encoding=proto&message=%21&base64=1",
        "encoding=json&message=%ff",
        "encoding=proto&message=%ff",
        "encoding=json&message=%7B%7D&compression=gzip",
        "&".join("a=b" for _ in range(1000)),
    ],
)
async def test_a_get_without_a_valid_message_is_an_invalid_argument(web: WebService, query: str) -> None:
    answered = await send(web.web, "GET", f"{LIST}?{query}")
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")


async def test_a_request_that_is_too_large_is_refused_before_it_is_sent(database_url: str) -> None:
    async with running_web_service(database_url, SMALL) as web, connected(web.web) as (reader, writer):
        headers = {"host": web.web, "content-type": "application/json", "content-length": "100001"}
        writer.write(head("POST", LIST, headers))
        answered = await receive(reader)
        assert (answered.status, (await answered.json())["code"]) == (429, "resource_exhausted")


async def test_a_request_without_a_length_is_refused_at_its_limit(database_url: str) -> None:
    async with running_web_service(database_url, SMALL) as web, connected(web.web) as (reader, writer):
        headers = {"host": web.web, "content-type": "application/json", "transfer-encoding": "chunked"}
        writer.write(head("POST", LIST, headers) + b"10000\r\n" + b" " * 65536 + b"\r\n" + b"10000\r\n" + b" " * 65536)
        answered = await receive(reader)
        assert (answered.status, (await answered.json())["code"]) == (429, "resource_exhausted")


@pytest.mark.parametrize("path", [LIST, CHART])
async def test_a_bomb_of_gzip_is_refused_at_the_limit(database_url: str, path: str) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < SMALL.message_bytes_maximum
    async with running_web_service(database_url, SMALL) as web:
        if path == LIST:
            error = (await send(web.web, "POST", path, bomb, content_encoding="gzip", **JSON)).json
        else:
            headers = {"content_type": "application/connect+json", "connect_content_encoding": "gzip"}
            error = end_of_stream((await send(web.web, "POST", path, enveloped(bomb, 1), **headers)).body)["error"]
        assert error["code"] == "resource_exhausted"
        assert error["details"][0]["debug"]["metadata"]["bytes"] == "100001"


async def test_a_request_that_does_not_arrive_gets_a_deadline(database_url: str) -> None:
    settings = Settings(arrival_timeout_seconds=0.1)
    async with running_web_service(database_url, settings) as web, connected(web.web) as (reader, writer):
        headers = {"host": web.web, "content-type": "application/json", "content-length": "10"}
        writer.write(head("POST", LIST, headers) + b"{")
        answered = await receive(reader)
        assert (answered.status, (await answered.json())["code"]) == (504, "deadline_exceeded")


async def assert_closed(reader: asyncio.StreamReader) -> None:
    """Wait until the server has closed the connection."""
    with suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTT",
        b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 1000,
    ],
    ids=["nothing", "a part of a line", "no body", "a part of a header"],
)
async def test_a_connection_that_sends_no_whole_request_is_closed(database_url: str, sent: bytes) -> None:
    settings = Settings(call_timeout_seconds=0.2)
    async with running_web_service(database_url, settings) as web, connected(web.web) as (reader, writer):
        writer.write(sent)
        await asyncio.wait_for(assert_closed(reader), 50)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * MANY,
        b"GET / HTTP/1.1\r\n" + b"x" * MANY,
        b"GET / HTTP/1.1\r\na: " + b"x" * MANY,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MANY // 6),
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: " + b"x" * MANY,
    ],
    ids=["url", "name", "value", "many", "trailer"],
)
async def test_headers_without_end_close_the_connection(database_url: str, sent: bytes) -> None:
    patient = Settings(call_timeout_seconds=3600)
    async with running_web_service(database_url, patient) as web, connected(web.web) as (reader, writer):
        writer.write(sent)
        await asyncio.wait_for(assert_closed(reader), 50)


async def test_pipelined_requests_close_the_connection(web: WebService) -> None:
    request = head("POST", LIST, {"host": web.web, "content-type": "application/json", "content-length": "2"}) + b"{}"
    async with connected(web.web) as (reader, writer):
        writer.write(request * 3)
        await asyncio.wait_for(assert_closed(reader), 50)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"nonsense\r\n\r\n"]
)
async def test_bytes_that_are_not_http_get_status_400_or_an_end(web: WebService, sent: bytes) -> None:
    async with asyncio.timeout(60), connected(web.web) as (reader, writer):
        writer.write(sent)
        assert (await reader.read(12)) in {b"HTTP/1.1 400", b""}


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_an_offer_of_another_protocol_is_ignored_however_it_arrives(web: WebService, size: int) -> None:
    offer = {"connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "http2-settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    headers = {"host": web.web, "content-type": "application/json", "content-length": "2", **offer}
    request = head("POST", LIST, headers) + b"{}"
    async with asyncio.timeout(60), connected(web.web) as (reader, writer):
        for _ in range(3):
            for begin in range(0, len(request), size):
                writer.write(request[begin : begin + size])
                await asyncio.sleep(0)
            response = await receive(reader)
            assert (response.status, await response.json()) == (200, {})
