"""A proxy to PostgreSQL that holds answers back, and resets connections as a server does that ends."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

_CHUNK_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FATAL = b"E" + struct.pack("!i", 4 + len(_FIELDS)) + _FIELDS
"""What a backend sends before it ends (PostgreSQL manual, "Message Formats")."""


class Breaker:
    """A proxy for the connections to a server.

    Attributes:
        port: The port that it listens on.
        held: Set once an answer was held back.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._passes: int | None = None
        self._clients: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.held = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]

    def hold_after(self, count: int) -> None:
        """Pass only `count` more bytes of answers, until `reset`."""
        self.held.clear()
        self._passes = count

    async def reset(self, last_words: bytes = b"") -> None:
        """Send `last_words` to all clients with a RST right behind them, and forward new connections as before."""
        self._passes = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            with suppress(OSError):
                client.send(last_words)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()  # at once, so that a client in this thread cannot read in between
        self._clients.clear()

    async def accept(self) -> None:
        """Accept connections, until cancelled."""
        loop = asyncio.get_running_loop()
        with self._listener:
            while True:
                client, _ = await loop.sock_accept(self._listener)
                self._start(self._connect(client))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: socket.socket) -> None:
        self._clients.add(client)
        with socket.socket() as server, suppress(OSError):
            server.settimeout(0)
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self._target))
            await _first_end(self._forward(client, server), self._answer(server, client))
        self._clients.discard(client)  # unless `reset` ends it
        client.close()

    async def _forward(self, client: socket.socket, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(client, _CHUNK_BYTES):
            await loop.sock_sendall(server, data)

    async def _answer(self, server: socket.socket, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(server, _CHUNK_BYTES):
            if self._passes is not None:
                data, rest = data[: self._passes], data[self._passes :]
                self._passes -= len(data)
                await loop.sock_sendall(client, data)
                if rest:
                    self.held.set()
                    await loop.create_future()  # until `reset` cancels
            else:
                await loop.sock_sendall(client, data)


async def _first_end(*directions: Coroutine[Any, Any, None]) -> None:
    """Run both directions of a connection until one of them ends."""
    tasks = [asyncio.create_task(each) for each in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def breaker_to(port: int) -> AsyncIterator[Breaker]:
    """Run a proxy to a port of this machine until the block ends."""
    breaker = Breaker(port)
    accepting = asyncio.create_task(breaker.accept())
    try:
        yield breaker
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await breaker.reset()
