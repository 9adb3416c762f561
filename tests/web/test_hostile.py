"""Clients that try to occupy the server, or to pass for others, by HTTP."""

import asyncio
import gzip
import json
import logging

import pytest

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.web import listener
from sprocket_grpc.web.codec import aside
from sprocket_grpc.web.connection import without_mapping
from tests.support.http import connected, head, post, receive, send
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.web import LOCATIONS, WebService, running_web_service

LIST, BATCH_GET = f"{LOCATIONS}/ListLocations", f"{LOCATIONS}/BatchGetLocations"
JSON = {"content_type": "application/json"}
MANY = json.dumps({"ids": [""] * 100_001}).encode()


@pytest.mark.parametrize("headers", [{}, {"content_encoding": "gzip"}], ids=["plain", "gzip"])
async def test_a_request_with_too_many_values_is_refused_before_it_is_parsed(
    web: WebService, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("google.protobuf.json_format.Parse")
    answered = await send(web.web, "POST", BATCH_GET, gzip.compress(MANY) if headers else MANY, **JSON, **headers)
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")
    assert "more than 100,000 values" in json.dumps(answered.json)


async def test_a_call_that_is_cancelled_keeps_what_it_has_until_its_thread_has_ended() -> None:
    loop, may_end = asyncio.get_running_loop(), asyncio.Event()
    began = asyncio.Event()

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result(PATIENCE_SECONDS)

    call = asyncio.create_task(aside(1 << 20, work))
    await began.wait()
    call.cancel()
    done, _ = await asyncio.wait([call], timeout=0.1)
    assert not done
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_header_that_is_no_text_is_left_out(web: WebService, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(web.web) as (reader, writer):
        writer.write(head("POST", LIST, {"host": web.web, "content-type": "application/json", "foo-bin": "\xe9"})[:-2])
        writer.write(b"content-length: 2\r\n\r\n{}")
        assert (await receive(reader)).status == 200
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_client_that_goes_as_its_answer_is_ready_causes_no_error(
    web: WebService, caplog: pytest.LogCaptureFixture
) -> None:
    message = head("POST", LIST, {"host": web.web, "content-type": "application/json", "content-length": "2"}) + b"{}"
    for step in range(150):
        async with connected(web.web) as (_, writer):
            writer.write(message)
            await asyncio.sleep(step % 30 / 10_000)
    await post(web.web, LIST, {})
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_empty_lines_keep_no_connection_open(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_IDLE_SECONDS", 1)
    async with (
        running_web_service(database_url) as web,
        asyncio.timeout(PATIENCE_SECONDS),
        connected(web.web) as (reader, writer),
    ):
        writer.write(head("GET", "/healthz/live", {"host": web.web}))
        await (await receive(reader, "GET")).body()
        writer.write(b"\r\n")
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("name", "sent", "trailer", "status"),
    [
        ("host", "evil.example", "localhost", 421),
        ("origin", "https://evil.example", "http://localhost", 403),
        ("content-type", "text/plain", "application/json", 415),
    ],
)
async def test_a_header_behind_the_body_replaces_none(
    web: WebService, name: str, sent: str, trailer: str, status: int
) -> None:
    headers = {"host": web.web, "content-type": "application/json", name: sent, "transfer-encoding": "chunked"}
    async with connected(web.web) as (reader, writer):
        writer.write(head("POST", LIST, headers) + f"2\r\n{{}}\r\n0\r\n{name}: {trailer}\r\n\r\n".encode())
        assert (await receive(reader)).status == status


async def test_a_request_with_two_hosts_or_a_user_is_misdirected(web: WebService) -> None:
    for host in (f"evil.example\r\nhost: {web.web}", "user@localhost"):
        assert (await post(web.web, LIST, {}, host=host)).status == 421


def test_an_address_of_ipv4_is_the_same_on_a_listener_of_ipv6() -> None:
    assert without_mapping("::ffff:192.0.2.7") == "192.0.2.7"
    assert [without_mapping(each) for each in ("::1", "192.0.2.7", "2001:db8::1")] == [
        "::1",
        "192.0.2.7",
        "2001:db8::1",
    ]


async def test_callers_of_ipv4_are_told_apart_on_a_listener_of_ipv6(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_web_service(database_url, Settings(), web_listen="[::]:0") as web:
        with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
            await post(web.web, LIST, {})
    [line] = [each for each in caplog.records if each.name == "sprocket_grpc.access"]
    assert str(vars(line)).count("ipv4:127.0.0.1:")
