"""A connection to PostgreSQL, and the requests on it: several share a round trip, and each has its own answer.

It speaks libpq (psycopg.pq) in pipeline mode. By psycopg's own pipeline the two round trips of an update take 385 us of
CPU, so 113; a read takes 63 without a pool, so 45 with it (medians of six rounds under uvloop, 2026-11-27).

Its states and what changes them:

| state | a caller asks | an answer comes | the last one comes | the caller leaves | time is up | the connection ends |
|---|---|---|---|---|---|---|
| IDLE | ASKED | - | - | - | - | LOST |
| ASKED | an error | ASKED | IDLE | ABANDONED | ABANDONED | LOST |
| ABANDONED | an error | ABANDONED | IDLE | - | LOST | LOST |
| LOST | LostConnectionError | - | - | - | - | - |

Beside the state there is the transaction, which libpq knows from each last answer: none, open or failed. Only a
connection that is IDLE and in no transaction serves another caller; `settle` makes an ABANDONED one so, or ends it.
"""

import asyncio
import select
from collections import OrderedDict, deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import text

from sprocket_grpc.storage.postgres.answers import Due, LostConnectionError, NoAnswerError, raise_if_ended
from sprocket_grpc.storage.postgres.rows import rows_of
from sprocket_grpc.storage.postgres.statements import Request, Statement, request

_LOOK_AGAIN_SECONDS = 0.5
"""How often a caller looks at the socket itself: uvloop reports an error once, and then closes its watch."""

_MOST_PREPARED = 100
"""The most statements that are prepared on a connection: PostgreSQL keeps the plan of each."""

_PATIENCE_SECONDS = 0.1
"""The time in which most answers come by themselves: to cancel a statement takes a connection of its own."""

_CANCEL_SECONDS = 5

_ROLLBACK = request(Statement(text("ROLLBACK")))


class State(Enum):
    """What a connection is doing."""

    IDLE = auto()
    ASKED = auto()
    ABANDONED = auto()
    LOST = auto()


class Conversation:
    """A connection in the use of one caller at a time.

    Attributes:
        state: What it is doing.
        generation: Which generation of the pool it belongs to; None if it is not to be used again.
    """

    def __init__(self, driver: "psycopg.AsyncConnection[Any]", *, prepares: bool) -> None:
        """Take over a connection of psycopg, which nobody uses any more.

        Args:
            driver: The connection, in autocommit mode.
            prepares: Whether it may prepare statements.
        """
        self.state = State.IDLE
        self.generation: int | None = 0
        self._driver = driver
        self._prepares = prepares
        self._prepared: OrderedDict[bytes, None] = OrderedDict()
        self._transformer = Transformer(driver)
        self._libpq = driver.pgconn
        self._libpq.enter_pipeline_mode()
        self._due: deque[Due] = deque()
        self._refused: list[tuple[bytes, bool]] = []
        self._arrived: asyncio.Future[None] | None = None
        self._looks_later = False
        self._socket = self._libpq.socket
        self._poll = select.poll()
        self._poll.register(self._socket, 0)  # errors and the end of the connection, which it always reports
        self._loop = asyncio.get_running_loop()
        self._is_watched = True
        self._loop.add_reader(self._socket, self._receive)

    @property
    def is_clean(self) -> bool:
        """Whether another caller may use it."""
        return self.state is State.IDLE and self._libpq.transaction_status == TransactionStatus.IDLE

    async def ask(self, requests: Sequence[Request], seconds: float) -> list[PGresult]:
        """Send requests in one go and wait for their answers.

        Without a transaction they are one of their own: all or none have an effect. Behind one that fails the others
        are not run.

        Args:
            requests: The requests, at least one.
            seconds: The most that it takes.

        Returns:
            The answer of each, also those of requests that failed or were not run.

        Raises:
            LostConnectionError: The connection has ended.
            NoAnswerError: It took too long.
        """
        if self.state is State.LOST:
            raise LostConnectionError
        if self.state is not State.IDLE:
            raise RuntimeError(f"the connection is {self.state.name}")
        self.state = State.ASKED
        try:
            self._send(requests)
            return await self._answers(self._loop.time() + seconds)
        except psycopg.OperationalError as error:
            if isinstance(error, NoAnswerError):
                self.state = State.ABANDONED
                raise
            self.close()
            raise error if isinstance(error, LostConnectionError) else LostConnectionError(str(error)) from error
        except BaseException:
            if self.state is State.ASKED:  # or it was closed meanwhile
                self.state = State.ABANDONED
            raise

    def rows(self, answer: PGresult) -> Sequence[tuple[Any, ...]]:
        """Return the rows of an answer; many of them are converted when they are used."""
        return rows_of(answer, self._transformer)

    async def settle(self) -> None:
        """Bring it back to where another caller may use it, or end it. Takes some seconds at most."""
        try:
            if self.state is State.ABANDONED:
                await self._abandon()
            if self.state is State.IDLE and not self.is_clean:
                await self.ask([_ROLLBACK], _CANCEL_SECONDS)
        except psycopg.Error:
            pass
        finally:
            if not self.is_clean:
                self.close()

    def close(self) -> None:
        """End the connection."""
        if self.state is not State.LOST:
            self.state = State.LOST
            self._unwatch()
            self._libpq.finish()
        self._wake()

    async def _abandon(self) -> None:
        """Take the answers that nobody waits for; cancel what takes long."""
        try:
            await self._answers(self._loop.time() + _PATIENCE_SECONDS)
        except NoAnswerError:
            await self._driver.cancel_safe(timeout=_CANCEL_SECONDS)
            await self._answers(self._loop.time() + _CANCEL_SECONDS)

    def _send(self, requests: Sequence[Request]) -> None:
        for statement, values in requests:
            if self._prepares and statement.is_prepared:
                self._prepare(statement)
                self._libpq.send_query_prepared(statement.name, values, result_format=Format.BINARY)
            else:
                self._libpq.send_query_params(statement.text, values, result_format=Format.BINARY)
            self._due.append(Due())
        self._libpq.pipeline_sync()
        self._flush()

    def _prepare(self, statement: Statement) -> None:
        """Prepare a statement before its first use here; beyond the limit, close the one unused for longest."""
        if statement.name in self._prepared:
            self._prepared.move_to_end(statement.name)
            return
        if len(self._prepared) >= _MOST_PREPARED:
            oldest, _ = self._prepared.popitem(last=False)
            self._libpq.send_close_prepared(oldest)
            self._due.append(Due(oldest))
        self._libpq.send_prepare(statement.name, statement.text)
        self._due.append(Due(statement.name, prepares=True))
        self._prepared[statement.name] = None  # taken back if PostgreSQL refuses it

    def _flush(self) -> None:
        """Write to the socket, now and as soon as it takes more."""
        if self._libpq.flush():
            self._loop.add_writer(self._socket, self._write)

    def _write(self) -> None:
        try:
            if self._libpq.flush():
                return
        except psycopg.OperationalError:
            self.close()
            return
        self._loop.remove_writer(self._socket)

    async def _answers(self, give_up_at: float) -> list[PGresult]:
        """Wait until all answers that are due have come."""
        answers: list[PGresult] = []
        refusal: PGresult | None = None
        while (result := await self._result(give_up_at)).status != ExecStatus.PIPELINE_SYNC:
            if not self._due:  # a deferred constraint, say: what is its own transaction fails as a whole at its end
                answers = [result] * len(answers)
                continue
            due = self._due.popleft()
            if due.name is None:
                answers.append(refusal or result)
                refusal = None
            elif result.status != ExecStatus.COMMAND_OK:
                self._refused.append((due.name, due.prepares))
                refusal = refusal or result  # the request behind it is not run
        self._take_back()
        self.state = State.IDLE
        return answers

    def _take_back(self) -> None:
        """Forget what PostgreSQL refused to prepare or close, the last first: one name may be among them twice."""
        while self._refused:
            name, prepares = self._refused.pop()
            if prepares:
                self._prepared.pop(name, None)
            else:
                self._prepared[name] = None

    async def _result(self, give_up_at: float) -> PGresult:
        """Wait for the next result. There is a None behind the one of each request, but never two."""
        for _ in range(2):
            if self._libpq.is_busy():
                await self._until_answered(give_up_at)
            result = self._libpq.get_result()
            if result is not None:
                raise_if_ended(result)
                return result
        raise LostConnectionError

    def _require_alive(self) -> None:
        if self.state is State.LOST:
            raise LostConnectionError

    async def _until_answered(self, give_up_at: float) -> None:
        """Wait until libpq has a result, or knows that none follows."""
        while self.state is not State.LOST and self._libpq.is_busy():
            if self._loop.time() > give_up_at:
                raise NoAnswerError
            self._arrived = self._loop.create_future()
            self._look_later()
            try:
                await self._arrived
            finally:
                self._arrived = None
        self._require_alive()

    def _receive(self) -> None:
        """Read what has arrived: answers, or the end of the connection."""
        try:
            self._libpq.consume_input()
        except psycopg.OperationalError:
            self.close()
        if self._arrived is None:  # nobody waits, so no timer looks again
            self._look_again()
        else:
            self._wake()

    def _look_again(self) -> None:
        """Find out whether the connection has ended: then what is left to read of it is no whole answer."""
        if self.state is not State.LOST and self._poll.poll(0):
            self.close()
        self._wake()

    def _look_later(self) -> None:
        """Set the timer that looks again. It runs for as long as callers wait: one for each wait takes more CPU."""
        if not self._looks_later:
            self._looks_later = True
            self._loop.call_later(_LOOK_AGAIN_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._looks_later = False
        if self._arrived is not None:
            self._look_again()
            self._look_later()

    def _wake(self) -> None:
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)

    def _unwatch(self) -> None:
        """Unregister the socket, only once: libpq closes a lost one, and another connection may get its number."""
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
