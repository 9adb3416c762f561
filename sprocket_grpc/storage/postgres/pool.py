"""The connections of a server: who has one, who waits for one, and what becomes of those that are given back.

psycopg_pool lends connections of psycopg's own API, closes those whose callers were cancelled, and lets all callers
wait while the database is down.
"""

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres.connector import Connector
from sprocket_grpc.storage.postgres.conversation import Conversation, State

if TYPE_CHECKING:
    from collections.abc import Callable

_OPEN_SECONDS = 30
"""The most that opening a connection takes, with all its hosts and addresses."""

_CLOSE_SECONDS = 2
"""The most that connections that are being settled delay the end of a server."""

_log = logging.getLogger(__name__)


class Pool:
    """Lends connections, up to a number, each to one caller at a time.

    Attributes:
        size: The largest number of connections.
        used: The number of connections in use.
        pending: The number of callers that wait for one.
        timeouts: The number of callers that waited in vain.
        on_wait: Called with the time of each wait, in seconds.
    """

    def __init__(self, connector: Connector, size: int, wait_seconds: float) -> None:
        self.size = size
        self.used = 0
        self.pending = 0
        self.timeouts = 0
        self.on_wait: Callable[[float], None] = lambda _: None
        self._connector = connector
        self._wait_seconds = wait_seconds
        self._free = asyncio.Semaphore(size)
        self._idle: list[Conversation] = []
        self._lent: set[Conversation] = set()
        self._generation = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def idle(self) -> int:
        """The number of open connections that are not in use."""
        return sum(each.state is State.IDLE for each in self._idle)

    async def take(self) -> Conversation:
        """Borrow a connection, which must be given back.

        Raises:
            UnavailableError: None became free in time, or no new one could be opened.
            DatabaseEncodingError: The encoding of the database is not UTF8.
            psycopg.Error: A new one could not be opened.
        """
        if self._free.locked():
            await self._wait_until_free()
        else:
            await self._free.acquire()
        try:
            conversation = self._pop_idle() or await self._open()
        except BaseException:
            self._free.release()
            raise
        self.used += 1
        self._lent.add(conversation)
        return conversation

    def give_back(self, conversation: Conversation) -> None:
        """Return a connection in whatever state it is. What is not clean is settled first, in the background."""
        if conversation.state is State.LOST:
            self.renew()  # the others may be lost too, and not know it
        if conversation.is_clean or conversation.state is State.LOST:
            self._put(conversation)
            return
        task = asyncio.create_task(conversation.settle())
        self._settling.add(task)
        task.add_done_callback(partial(self._settled, conversation))

    def renew(self) -> None:
        """Close all connections that are open now; those in use, when they are given back."""
        self._generation += 1
        while self._idle:
            self._idle.pop().close()

    def leave(self) -> None:
        """Close all connections now, also those in use, whose callers fail: the database hangs.

        It would not answer a cancellation either, and after a failover another one serves.
        """
        self.renew()
        for conversation in self._lent:
            conversation.close()
        for each in self._settling:
            each.cancel()

    async def close(self) -> None:
        """Close all connections; those in use, when they are given back."""
        self._is_closed = True
        self.renew()
        if self._settling:
            _, late = await asyncio.wait(self._settling, timeout=_CLOSE_SECONDS)
            for each in late:
                each.cancel()  # which closes its connection

    def _pop_idle(self) -> Conversation | None:
        while self._idle:
            conversation = self._idle.pop()
            if conversation.state is State.IDLE:
                return conversation
        return None

    async def _open(self) -> Conversation:
        generation = self._generation  # before connecting: if it changes meanwhile, this one may be old too
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                conversation = await self._connector.open()
        except TimeoutError:
            _log.warning("UnavailableError: no connection was opened within %g s", _OPEN_SECONDS)
            raise UnavailableError from None
        conversation.generation = generation
        return conversation

    def _settled(self, conversation: Conversation, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._put(conversation)

    def _put(self, conversation: Conversation) -> None:
        if self._is_closed or conversation.generation != self._generation:
            conversation.close()
        if conversation.state is State.IDLE:
            self._idle.append(conversation)
        self.used -= 1
        self._lent.discard(conversation)
        self._free.release()

    async def _wait_until_free(self) -> None:
        began, clock = time.monotonic(), asyncio.get_running_loop().time
        asked = clock()  # by the clock of the timeout, which under uvloop may be some milliseconds behind
        self.pending += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            self.timeouts += 1
            _log.warning("UnavailableError: no connection became free within %g s", self._wait_seconds)
            raise UnavailableError from None
        finally:
            self.pending -= 1
            self.on_wait(clock() - asked)
        if self._connector.failed_at > began and not self.idle:
            self._free.release()
            raise UnavailableError  # only callers that arrive later retry
