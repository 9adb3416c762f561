"""Responses that their client does not read: they hold their slots for a limited time, and little memory."""

import asyncio
import json
import logging
import socket
import struct

import pytest
from sqlalchemy import text

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.http import head
from tests.support.resources import create_factory
from tests.support.waiting import until
from tests.support.web import FACTORIES, WebService, running_web_service

CHART = f"{FACTORIES}/GetFactoryChart"

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
