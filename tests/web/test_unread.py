"""Responses that their client does not read: they hold their slots for a limited time, and little memory."""

import asyncio
import gc
import json
import logging
import socket
import struct
from typing import Any

import pytest
from sqlalchemy import text

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.web.connection import BoundedConnection
from sprocket_grpc.web.exchange import Event, Exchange, Receive, Send
from sprocket_grpc.web.listener import WebListener
from tests.support.http import PATIENCE_SECONDS, connected, head, receive
from tests.support.resources import create_factory
from tests.support.waiting import until
from tests.support.web import FACTORIES, WebService, running_web_service

CHART = f"{FACTORIES}/GetFactoryChart"

_LONG_BYTES = 64 << 20

# 15 MB of JSON, which no buffer of a connection holds.
_LONG_CHART = text("""
    WITH grown AS (
        UPDATE factory SET chart_sequence = chart_sequence + 300000 WHERE id = :factory_id
        RETURNING id, chart_sequence, chart_time_micros
    )
    INSERT INTO chart_entry SELECT id, n, chart_time_micros, n, n
    FROM grown, generate_series(chart_sequence - 299999, chart_sequence) AS n
""")


async def unread_chart(web: WebService, url: str) -> socket.socket:
    """Ask for a long chart, and read nothing of it."""
    factory = await create_factory(web)
    with create_plain_engine(url).begin() as connection:
        connection.execute(_LONG_CHART, {"factory_id": factory.id})
    host, _, port = web.web.partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    message = json.dumps({"factoryId": factory.id}).encode()
    body = struct.pack(">BI", 0, len(message)) + message
    headers = {"host": web.web, "content-type": "application/connect+json", "content-length": str(len(body))}
    client.sendall(head("POST", CHART, headers) + body)
    return client


async def test_a_client_that_reads_nothing_is_cut_off(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    gc.collect()  # asyncio reports here, and not below, what other tests have left
    caplog.clear()
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        async with running_web_service(database_url, Settings(call_timeout_seconds=1)) as web:
            with await unread_chart(web, database_url):
                await until(lambda: f"{CHART} CANCELLED" in caplog.messages)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_others_are_answered_meanwhile(database_url: str) -> None:
    async with running_web_service(database_url) as web:
        with await unread_chart(web, database_url):
            async with asyncio.timeout(60):
                for _ in range(20):
                    await web.locations.ListLocations(ListLocationsRequest())


async def test_what_a_client_does_not_read_is_not_in_memory(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[BoundedConnection] = []
    pause = BoundedConnection.pause_writing

    def note_and_pause(connection: BoundedConnection) -> None:
        paused.append(connection)
        pause(connection)

    monkeypatch.setattr(BoundedConnection, "pause_writing", note_and_pause)
    async with running_web_service(database_url, Settings(call_timeout_seconds=5)) as web:
        with await unread_chart(web, database_url):
            await until(lambda: bool(paused))
            held = 0
            while not paused[0].transport.is_closing():
                held = max(held, paused[0].transport.get_write_buffer_size())
                await asyncio.sleep(0.01)
    assert 0 < held < 2 << 20


class _Writing:
    """An application that sends a long response at once."""

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        await exchange.respond(200, [("content-length", str(_LONG_BYTES))], bytes(_LONG_BYTES))

    async def refuse_connection(self, *_: object) -> None:
        """Not called."""


@pytest.mark.slow
async def test_a_client_that_reads_slowly_gets_the_whole_response() -> None:
    app: Any = _Writing()
    listener = WebListener(app, Settings(web_listen="127.0.0.1:0", call_timeout_seconds=1.5))
    await listener.start()
    async with asyncio.timeout(PATIENCE_SECONDS), connected(f"127.0.0.1:{listener.port}") as (reader, writer):
        writer.write(head("GET", "/", {"host": "localhost"}))
        assert (await receive(reader, "GET")).status == 200
        for _ in range(_LONG_BYTES >> 20):  # in three times the limit, which ends only clients that read nothing
            await reader.readexactly(1 << 20)
            await asyncio.sleep(0.07)
    await listener.stop(0)
