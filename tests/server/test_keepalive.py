"""Keepalive: clients may ping, and the server pings them, to find out who has disappeared.

The intervals are tens of seconds. In these tests all of them pass ten times as fast.
"""

import asyncio

import pytest

from reliability import http2
from sprocket_grpc.server import grpc_server
from tests.support.service import Service

PATIENCE_SECONDS = 60

FASTER = 10
PING_SECONDS = 10 / FASTER
"""What proxies, mobile networks and the documentation of gRPC need: a ping every 10 seconds."""

PINGS = 5
"""gRPC puts up with two pings that come too early."""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide all intervals of the server."""
    monkeypatch.setattr(
        grpc_server,
        "OPTIONS",
        [(name, value // FASTER if name.endswith("_ms") else value) for name, value in grpc_server.OPTIONS],
    )


PING = http2.frame(http2.PING, 0, 0, bytes(8))


async def test_a_client_that_pings_every_ten_seconds_without_a_call_stays_connected(service: Service) -> None:
    async with http2.connected(service.address) as connection:
        ended = asyncio.ensure_future(connection.answer())
        for _ in range(PINGS):
            await connection.send(PING)
            await asyncio.wait([ended], timeout=PING_SECONDS)
        assert not ended.done()
        ended.cancel()


async def test_a_client_that_pings_all_the_time_is_cut_off(service: Service) -> None:
    async with http2.connected(service.address) as connection, asyncio.timeout(PATIENCE_SECONDS):
        await connection.send(*[PING] * PINGS)
        assert await connection.answer() == http2.Answer("GOAWAY", "too_many_pings")


async def test_the_server_pings_a_client_again_and_again_without_a_call(service: Service) -> None:
    async with http2.connected(service.address) as connection, asyncio.timeout(PATIENCE_SECONDS):
        asked = 0
        async for each in connection.frames():  # acknowledges pings
            asked += each.kind == http2.PING and not each.flags & http2.ACK
            if asked == 2:
                return
    pytest.fail("the server closed the connection")


async def test_a_client_that_answers_no_ping_is_disconnected_soon(service: Service) -> None:
    async with http2.connected(service.address) as connection, asyncio.timeout(PATIENCE_SECONDS / 2):
        while await connection.reader.read(1 << 16):
            pass
