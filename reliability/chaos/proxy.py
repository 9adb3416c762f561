"""A TCP proxy that resets its connections, refuses new ones, or drops all packets without closing anything."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.ports import free_port

# From asm-generic/socket.h. The kernel runs this filter before TCP handles a packet, so that nothing is acknowledged.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
_FILTER = struct.pack("HxxxxxxP", 1, ctypes.addressof(_DROP_ALL))

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, 0 s
_CHUNK_BYTES = 65536


class Proxy:
    """A proxy to a port of this machine.

    Attributes:
        port: The port that it listens on, which stays the same.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None] | None] = set()

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    def refuse(self) -> None:
        """Refuse new connections, and reset the existing ones."""
        if self._server:
            self._server.close()
        self.reset()

    def reset(self) -> None:
        """Reset all connections on both sides."""
        self._set_option(self._sockets(), socket.SO_LINGER, _RESET_ON_CLOSE)
        for writer in tuple(self._open):
            writer.transport.abort()

    def swallow(self) -> None:
        """Drop all packets that arrive from now on, in both directions.

        Raises:
            PermissionError: This user may not filter packets.
        """
        self._set_option([*self._listening(), *self._sockets()], _ATTACH_FILTER, _FILTER)

    def release(self) -> None:
        """Let packets through again."""
        self._set_option([*self._listening(), *self._sockets()], _DETACH_FILTER, struct.pack("i", 0))

    def _listening(self) -> Iterable[Any]:
        return self._server.sockets if self._server else ()

    def _sockets(self) -> list[Any]:
        found = [writer.get_extra_info("socket") for writer in self._open]
        return [each for each in found if each]  # None if it is closed

    def _set_option(self, sockets: Iterable[Any], option: int, value: bytes) -> None:
        for each in sockets:
            if each.fileno() >= 0:  # it is not closed
                each.setsockopt(socket.SOL_SOCKET, option, value)

    async def close(self) -> None:
        """Refuse new connections, and wait until the existing ones have ended."""
        self.refuse()
        if connections := [each for each in self._connections if each]:
            await asyncio.wait(connections)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(task := asyncio.current_task())
        try:
            await self._pass_on(reader, writer)
        finally:
            self._connections.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_target}
        self._open |= both
        try:
            await asyncio.gather(_forward(reader, to_target), _forward(from_target, writer))
        finally:
            self._open -= both


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):  # uvloop raises the latter for a connection that was aborted meanwhile
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a port until the block ends."""
    proxy = Proxy(port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
