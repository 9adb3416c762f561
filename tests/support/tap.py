"""A proxy to PostgreSQL that ends or holds a connection behind a chosen byte of it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import NamedTuple

_CHUNK_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST


class Way(Enum):
    """The direction of bytes."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


class How(Enum):
    """What happens behind a byte."""

    CUT = auto()
    """The connection ends with a FIN."""

    RESET = auto()
    """The connection ends with a RST."""

    HOLD = auto()
    """What follows in this direction waits until `release`."""


class Break(NamedTuple):
    """Where a connection is broken.

    Attributes:
        way: The direction whose bytes count.
        position: The number of bytes that pass.
        how: What happens then.
    """

    way: Way
    position: int
    how: How


class _LastWords(NamedTuple):
    """What is sent before a connection ends."""

    sink: socket.socket
    data: bytes
    how: How


class Tap:
    """A proxy for connections to a port of this machine. The first one that reaches the break is broken.

    Attributes:
        port: The port that it listens on.
        passed: The number of bytes of the latest connection, for each direction.
        reached: Set when the break was reached.
        drips: Whether bytes pass one by one.
    """

    def __init__(self, target: int, at: Break | None = None, *, drips: bool = False) -> None:
        self.passed = dict.fromkeys(Way, 0)
        self.reached = asyncio.Event()
        self.drips = drips
        self._target = target
        self._break = at
        self._released = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = self._listener.getsockname()[1]

    def release(self) -> None:
        """Let pass what is held."""
        self._released.set()

    async def accept(self) -> None:
        """Accept connections, until cancelled."""
        with self._listener:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
                task = asyncio.create_task(self._connect(client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        await _cancelled(self._tasks)

    async def _connect(self, client: socket.socket) -> None:
        self.passed = dict.fromkeys(Way, 0)
        with client, socket.socket() as server:
            for each in (client, server):
                each.settimeout(0)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self._target))
            last = await self._until_one_ends(client, server)
            if last:
                _end(last, client, server)

    async def _until_one_ends(self, client: socket.socket, server: socket.socket) -> _LastWords | None:
        directions = {(client, server): Way.TO_SERVER, (server, client): Way.TO_CLIENT}
        tasks = {asyncio.create_task(self._pass(*ends, way)) for ends, way in directions.items()}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(tasks)
        return next((last for each in done if (last := each.result())), None)

    async def _pass(self, source: socket.socket, sink: socket.socket, way: Way) -> _LastWords | None:
        passed, loop = self.passed, asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(source, 1 if self.drips else _CHUNK_BYTES):
                if at := self._break_within(way, passed[way] + len(data)):
                    self.reached.set()
                    head, data = data[: at.position - passed[way]], data[at.position - passed[way] :]
                    if at.how is not How.HOLD:
                        return _LastWords(sink, head, at.how)
                    passed[way] += len(head)
                    await loop.sock_sendall(sink, head)
                    await self._released.wait()
                passed[way] += len(data)
                await loop.sock_sendall(sink, data)
        return None

    def _break_within(self, way: Way, end: int) -> Break | None:
        """Return the break if bytes up to `end` reach it, only once."""
        if self._break is None or self._break.way is not way or self._break.position > end:
            return None
        at, self._break = self._break, None
        return at


def _end(last: _LastWords, client: socket.socket, server: socket.socket) -> None:
    """End a connection at once, so that a client in this thread does not read before it has ended."""
    with suppress(OSError):
        last.sink.send(last.data)
    for each in (client, server):
        if last.how is How.RESET:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        each.close()


async def _cancelled(tasks: "set[asyncio.Task[None]] | set[asyncio.Task[_LastWords | None]]") -> None:
    waiting = [*tasks]
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def tap_to(port: int, at: Break | None = None, *, drips: bool = False) -> AsyncIterator[Tap]:
    """Run a proxy to a port of this machine until the block ends."""
    tap = Tap(port, at, drips=drips)
    accepting = asyncio.create_task(tap.accept())
    try:
        yield tap
    finally:
        await _cancelled({accepting})
        await tap.close()
