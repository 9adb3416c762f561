"""A network between a service and its database that can be cut: nothing comes through any more, and nobody says so."""

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

# From asm-generic/socket.h. A filter sees each packet before TCP does; this one drops all of them, so that they are not
# even acknowledged: what a cable does that was pulled out.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
_FILTER = struct.pack("HxxxxxxP", 1, ctypes.addressof(_DROP_ALL))

_CHUNK_BYTES = 65536


class Cable:
    """Connections to a server through us.

    Attributes:
        port: Where we take them, also after they were refused.
        taken: How many we have taken.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._streams: list[asyncio.StreamWriter] = []
        self.port = free_port()
        self.taken = 0

    async def plug_in(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def unplug(self) -> None:
        """Refuse connections, and reset those that there are."""
        assert self._server
        self._server.close()
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Drop every packet that arrives for us from now on."""
        for each in self._sockets():
            try:
                each.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, _FILTER)
            except PermissionError:
                pytest.skip("this machine lets ordinary users drop no packets, by socket filters")

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
            await asyncio.gather(_pass_on(reader, to_server), _pass_on(from_server, writer))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[Cable]:
    """Run a cable to a port of this machine until the block ends."""
    cable = Cable(port)
    await cable.plug_in()
    try:
        yield cable
    finally:
        await cable.unplug()
