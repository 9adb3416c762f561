"""The proxy of `make chaos`: what it does to connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from reliability.chaos.proxy import Proxy, proxy_to
from tests.support.cable import only_on_linux

PATIENCE_SECONDS = 30


class Connection(NamedTuple):
    """A connection through a proxy to a server that sends everything back."""

    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def echo(self, text: bytes) -> bytes:
        self.writer.write(text)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readexactly(len(text))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def connection() -> AsyncIterator[Connection]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, proxy_to(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        connected = Connection(proxy, reader, writer)
        assert await connected.echo(b"hello") == b"hello"
        yield connected
        writer.close()


async def test_a_reset_reaches_the_client_and_new_connections_work() -> None:
    async with connection() as connected:
        connected.proxy.reset()
        with pytest.raises(ConnectionResetError):
            await connected.echo(b"lost")
        reader, writer = await asyncio.open_connection("127.0.0.1", connected.proxy.port)
        assert await Connection(connected.proxy, reader, writer).echo(b"new") == b"new"
        writer.close()


async def test_a_refusing_proxy_refuses_until_it_listens_again() -> None:
    async with connection() as connected:
        connected.proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", connected.proxy.port)
        await connected.proxy.listen()
        _, writer = await asyncio.open_connection("127.0.0.1", connected.proxy.port)
        writer.close()


@only_on_linux
async def test_swallowed_packets_arrive_late_but_arrive() -> None:
    async with connection() as connected:
        try:
            connected.proxy.swallow()
        except PermissionError:
            pytest.skip("this machine does not let ordinary users attach socket filters")
        connected.writer.write(b"late")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connected.reader.readexactly(4)
        connected.proxy.release()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (arrived := await connected.reader.read(4)) != b"late":
                assert arrived
