"""A TCP proxy between a service and its database that can drop all packets without closing the connections."""

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.support.ports import free_port

only_on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a socket drop what arrives for it")

# From asm-generic/socket.h. The kernel runs a socket filter before TCP handles a packet. This filter drops all packets,
# so they are not acknowledged: the effect of an unplugged cable.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
_FILTER = struct.pack("HxxxxxxP", 1, ctypes.addressof(_DROP_ALL))

_CHUNK_BYTES = 65536


class Cable:
    """A proxy for the connections to a server.

    Attributes:
        port: The port that it listens on; it stays the same after `unplug`.
        taken: The number of accepted connections.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._streams: list[asyncio.StreamWriter] = []
        self.port = free_port()
        self.taken = 0

    async def plug_in(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def unplug(self) -> None:
        """Refuse new connections, and reset the existing ones."""
        assert self._server
        self._server.close()
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Drop all packets that arrive at the proxy from now on."""
        for each in self._sockets():
            try:
                each.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, _FILTER)
            except PermissionError:
                pytest.skip("this machine does not let ordinary users attach socket filters")

    def mend(self) -> None:
        """Let packets through again."""
        for each in self._sockets():
            each.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)

    def _sockets(self) -> list[Any]:
        assert self._server
        return [*self._server.sockets, *(stream.get_extra_info("socket") for stream in self._streams)]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.append(writer)
        self.taken += 1
        with suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(_forward(reader, to_server), _forward(from_server, writer))


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[Cable]:
    """Run a proxy to a port of this machine until the block ends."""
    cable = Cable(port)
    await cable.plug_in()
    try:
        yield cable
    finally:
        await cable.unplug()
