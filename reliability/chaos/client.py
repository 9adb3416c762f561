"""A client with a connection of its own, which notes every call, and the gate that all clients pass."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import grpc

from reliability.chaos.calls import RETRIED, Calls
from reliability.chaos.ledger import Ledger
from reliability.methods import methods_on

DEADLINE_SECONDS = 20
"""The deadline of every call: longer than any call may take, so that one that hangs is seen as such."""

_PAUSE_SECONDS = 0.05
_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # or the channels of this process would share a connection
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # in which an attempt to connect must succeed
    ("grpc.max_reconnect_backoff_ms", 500),
)

Response: TypeAlias = Any
Request: TypeAlias = Any


@dataclass
class Notes:
    """What all clients write down.

    Attributes:
        calls: Their calls.
        ledger: What the service has acknowledged.
        problems: What a client was told that cannot be true.
    """

    calls: Calls = field(default_factory=Calls)
    ledger: Ledger = field(default_factory=Ledger)
    problems: list[str] = field(default_factory=list)


class Gate:
    """Lets clients work, or keeps them from it while the database is compared with the ledger."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._busy = 0

    async def enter(self) -> None:
        """Wait until the gate is open; `leave` must follow."""
        await self._open.wait()
        self._busy += 1

    def leave(self) -> None:
        """Finish a piece of work."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def close(self, seconds: float) -> bool:
        """Close the gate, and return whether all clients finished their work within `seconds`."""
        self._open.clear()
        try:
            async with asyncio.timeout(seconds):
                while self._busy:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def open(self) -> None:
        """Let the clients work again."""
        self._open.set()


class GaveUpError(Exception):
    """A call ended with a status after which it makes no sense to repeat it. Unless it was expected, it is noted."""


class Client:
    """Works as often as the gate lets it, until it is cancelled.

    Attributes:
        name: Its name in reports.
        notes: What it shares with the other clients.
    """

    def __init__(self, name: str, address: str, notes: Notes, draw: Random) -> None:
        self.name = name
        self.notes = notes
        self._draw = draw
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._methods = methods_on(self._channel)

    async def run(self, gate: Gate) -> None:
        """Work until cancelled."""
        async with self._channel:
            while True:
                await gate.enter()
                try:
                    await self.work()
                except GaveUpError:
                    pass
                finally:
                    gate.leave()
                await asyncio.sleep(self._draw.uniform(0, 2 * _PAUSE_SECONDS))

    async def work(self) -> None:
        """Do one piece of work.

        Raises:
            GaveUpError: A call ended with a status that must not be.
        """
        raise NotImplementedError

    async def call(
        self, method: str, request: Request, is_expected: Callable[[grpc.StatusCode], bool] = lambda _: False
    ) -> Response:
        """Repeat a call until it succeeds.

        Args:
            method: The name of the method.
            request: The request.
            is_expected: Whether a status is the answer to this request, and no problem.

        Raises:
            GaveUpError: It ended with a status after which it makes no sense to repeat it.
        """
        while True:
            began = time.monotonic()
            try:
                response = await self._methods[method](request, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                if not is_expected(error.code()):
                    self.note(method, error, began)
                if error.code() not in RETRIED:
                    raise GaveUpError from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self.notes.calls.add(self.name, method, grpc.StatusCode.OK, "", began)
                return response

    def note(self, method: str, error: grpc.aio.AioRpcError, began: float) -> None:
        """Note a call that failed."""
        self.notes.calls.add(self.name, method, error.code(), str(error.details()), began)
