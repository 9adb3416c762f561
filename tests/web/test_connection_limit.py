"""How many connections the web listener holds, and for how long those that send nothing."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.web import connection, connection_limit, listener
from tests.support.callers import certificate, server_certificate
from tests.support.http import PATIENCE_SECONDS, Response, connected, head, receive, send
from tests.support.resources import create_factory
from tests.support.waiting import until
from tests.support.web import FACTORIES, WebService, running_web_service

LIMIT = 3
LIVE, READY = "/healthz/live", "/healthz/ready"


@pytest.fixture
async def small(database_url: str) -> AsyncIterator[WebService]:
    """A server that takes few connections."""
    async with running_web_service(database_url, Settings(web_connection_limit=LIMIT)) as web:
        yield web


class Client:
    """A connection of a client."""

    def __init__(self, web: WebService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._web = web
        self._reader = reader
        self.writer = writer

    async def get(self, path: str) -> Response:
        """Read a page."""
        self.writer.write(head("GET", path, {"host": self._web.web}))
        return await receive(self._reader, "GET")

    async def follow(self, factory_id: str) -> None:
        """Follow a chart, which uses the connection until it is closed."""
        message = json.dumps({"factoryId": factory_id, "follow": True}).encode()
        body = b"\0" + len(message).to_bytes(4, "big") + message
        headers = {"host": self._web.web, "content-type": "application/connect+json", "content-length": str(len(body))}
        self.writer.write(head("POST", f"{FACTORIES}/GetFactoryChart", headers) + body)
        assert (await receive(self._reader)).status == 200

    async def is_closed(self) -> bool:
        """Whether the server closes the connection without sending anything."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read() == b""
            except ConnectionResetError:
                return True


class Clients(AsyncExitStack):
    """The connections of a test, which are closed in the end."""

    async def open(self, web: WebService) -> Client:
        """Open a connection."""
        return Client(web, *await self.enter_async_context(connected(web.web)))


async def fill(clients: Clients, web: WebService) -> None:
    """Use all connections that may call."""
    factory = await create_factory(web)
    for _ in range(LIMIT):
        await (await clients.open(web)).follow(factory.id)


async def test_the_connection_that_has_waited_longest_makes_room_for_a_new_one(small: WebService) -> None:
    async with Clients() as clients:
        first, second, third = [await clients.open(small) for _ in range(LIMIT)]
        for each in (second, first, third):
            await (await each.get(LIVE)).body()
        fourth = await clients.open(small)
        assert await second.is_closed()
        for each in (first, third, fourth):
            assert (await each.get(LIVE)).status == 200


async def test_headers_that_never_end_keep_nobody_out(small: WebService) -> None:
    async with Clients() as clients:
        for _ in range(5 * LIMIT):
            slow = await clients.open(small)
            slow.writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            await slow.writer.drain()
        assert (await send(small.web, "GET", LIVE)).status == 200


async def test_a_request_over_the_limit_is_told_so_and_closes_its_connection(small: WebService) -> None:
    async with Clients() as clients:
        await fill(clients, small)
        answered = await send(small.web, "GET", "/openapi.json")
        assert (answered.status, answered.headers["retry-after"], answered.headers["connection"]) == (429, "1", "close")
        error = answered.json
        assert error["code"] == "resource_exhausted"
        assert error["details"][0]["debug"]["metadata"] == {"limit": f"{LIMIT} connections by HTTP"}
        checked = await send(small.web, "GET", LIVE)
        assert (checked.status, checked.headers["connection"]) == (200, "close")
    await until(lambda: _is_answered(small))


async def test_a_refused_connection_that_sends_nothing_lets_no_other_one_in(
    small: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limit, "_MOST_REFUSED", 0)
    async with Clients() as clients:
        await fill(clients, small)
        silent = await clients.open(small)
        assert await silent.is_closed()
        monkeypatch.undo()
        assert (await send(small.web, "GET", "/openapi.json")).status == 429


async def test_a_probe_that_has_not_sent_its_request_survives_a_flood(small: WebService) -> None:
    async with Clients() as clients:
        await fill(clients, small)
        probe = await clients.open(small)
        silent = [await clients.open(small) for _ in range(connection_limit._MOST_REFUSED - 1)]
        assert (await probe.get(LIVE)).status == 200
        await clients.open(small)
        await clients.open(small)
        assert await silent[0].is_closed()


@pytest.mark.parametrize("path", [LIVE, READY])
async def test_probes_are_answered_while_a_flood_uses_all_connections(small: WebService, path: str) -> None:
    async def flood() -> None:
        while True:
            assert (await send(small.web, "GET", "/openapi.json")).status == 429

    async with Clients() as clients, asyncio.TaskGroup() as floods:
        await fill(clients, small)
        tasks = [floods.create_task(flood()) for _ in range(20)]
        for _ in range(20):
            assert (await send(small.web, "GET", path)).status == 200
        for each in tasks:
            each.cancel()


async def test_a_refused_connection_has_a_limited_time_for_its_request(
    small: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.2)
    async with Clients() as clients:
        await fill(clients, small)
        assert await (await clients.open(small)).is_closed()


async def _is_answered(web: WebService) -> bool:
    return (await send(web.web, "GET", "/openapi.json")).status == 200


async def test_a_connection_of_tls_makes_room_although_its_client_does_not_say_goodbye(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSING_SECONDS", 0.2)
    root = certificate("root")
    files = server_certificate(root).write(tmp_path)
    trusting = ssl.create_default_context(cadata=root.pem.decode())
    settings = Settings.model_validate({**files, "web_connection_limit": LIMIT})
    async with running_web_service(database_url, settings) as web, AsyncExitStack() as clients:
        reader, writer = await clients.enter_async_context(connected(web.web))
        await shake_hands(trusting, reader, writer)
        for _ in range(LIMIT):
            await clients.enter_async_context(connected(web.web, trusting))
        async with asyncio.timeout(15):  # by itself, TLS waits for 30 s
            while await reader.read(1 << 16):
                pass


async def test_a_refused_connection_of_tls_is_closed_although_its_client_does_not_say_goodbye(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSING_SECONDS", 0.2)
    root = certificate("root")
    trusting = ssl.create_default_context(cadata=root.pem.decode())
    settings = Settings.model_validate(server_certificate(root).write(tmp_path))
    settings = settings.model_copy(update={"web_connection_limit": 0})  # all connections are refused
    async with running_web_service(database_url, settings) as web, connected(web.web) as (reader, writer):
        tls, outgoing = await shake_hands(trusting, reader, writer)
        tls.write(head("GET", "/", {"host": web.web}))
        writer.write(outgoing.read())
        async with asyncio.timeout(15):  # by itself, TLS waits for 30 s
            while await reader.read(1 << 16):
                pass


async def shake_hands(
    trusting: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """Shake hands by TLS, on a connection where nothing answers what the server sends later.

    Returns:
        The connection, and what it has to send.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    is_done = False
    while not is_done:
        try:
            tls.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(1 << 16))
    writer.write(outgoing.read())
    return tls, outgoing


async def test_headers_have_a_limited_time_once_they_have_begun(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.2)
    async with running_web_service(database_url, Settings(call_timeout_seconds=3600)) as web, Clients() as clients:
        fresh, used = await clients.open(web), await clients.open(web)
        await (await used.get(LIVE)).body()
        for each in (fresh, used):
            each.writer.write(b"GET / HTTP/1.1\r\n")
            assert await each.is_closed()


async def test_the_handshake_of_tls_has_a_limited_time(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_HANDSHAKE_SECONDS", 0.2)
    settings = Settings.model_validate(server_certificate(certificate("root")).write(tmp_path))
    async with running_web_service(database_url, settings) as web, Clients() as clients:
        assert await (await clients.open(web)).is_closed()
