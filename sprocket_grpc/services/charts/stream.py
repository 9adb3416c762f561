"""One stream of charts: the history of a range, then what is added, each answer with where to go on after it."""

import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sprocket_grpc.errors import ShuttingDownError, UnavailableError
from sprocket_grpc.services.charts.followers import ChartPoller, Follower
from sprocket_grpc.services.charts.history import Opening, batches, open_charts, read_history
from sprocket_grpc.services.charts.range import ChartRange
from sprocket_grpc.services.charts.resume_token import make_resume_token
from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_reads import Chunk, Position
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter, ReadSession


@dataclass(frozen=True)
class ChartDependencies:
    """What all streams of charts work with.

    Attributes:
        database: Where charts are followed: what is new is on the primary first.
        read_router: Where their history is read.
        cipher: What seals resume tokens.
        chart_poller: What notices new entries.
        progress_seconds: How long a stream that follows is silent at most.
    """

    database: Database
    read_router: ReadRouter
    cipher: TokenCipher
    chart_poller: ChartPoller
    progress_seconds: float = 10


@dataclass(frozen=True)
class Answer:
    """What one response says.

    Attributes:
        resume_token: Where to go on after it.
        chunks: The next entries, at most one chunk of each factory.
        older: The factories whose chunk begins with an entry from before the range.
        is_end_of_history: Whether all that comes after it is new.
    """

    resume_token: str
    chunks: Sequence[Chunk]
    older: Collection[str]
    is_end_of_history: bool


class ChartStream:
    """One stream: what it was asked for, and up to where it has got."""

    def __init__(self, dependencies: ChartDependencies, asked: ChartRange, bound_to: bytes) -> None:
        """Take what is asked for, and what the resume tokens are to be bound to."""
        self._dependencies = dependencies
        self._asked = asked
        self._bound_to = bound_to
        self._positions: dict[str, Position] = {}
        self._begun = set(asked.positions)
        self._older: set[str] = set()

    async def answers(self, *, follow: bool) -> AsyncGenerator[Answer]:
        """Stream the history, and go on with what is added if asked to.

        Raises:
            NotFoundError: A factory does not exist, or not any more.
            ShuttingDownError: The server shuts down.
            UnavailableError: The database could not be asked for new entries for too long.
        """
        # All of the history is read in one place. On a standby that is behind it, entries would seem to be gone.
        reading = self._dependencies.read_router.begin()
        openings = await reading.run(open_charts, self._asked)
        self._positions = {
            each.sequences.factory_id: Position(each.created_micros, each.sequences.after) for each in openings
        }
        self._older = {each.sequences.factory_id for each in openings if each.begins_before_start}
        async with aclosing(self._history(reading, openings)) as history:
            async for answer in history:
                yield answer
        if follow:
            async with aclosing(self._news()) as news:
                async for answer in news:
                    yield answer

    async def _history(self, reading: ReadSession, openings: Sequence[Opening]) -> AsyncGenerator[Answer]:
        left = sum(each.sequences.entries for each in openings)
        if not left:
            yield await self._answer(is_end_of_history=True)
        async with aclosing(read_history(reading, self._asked, openings)) as history:
            async for chunks in history:
                left -= sum(each.sequences.entries for each in chunks)
                yield await self._answer(chunks, is_end_of_history=not left)

    async def _news(self) -> AsyncGenerator[Answer]:
        with self._dependencies.chart_poller.follow(self._positions) as follower:
            try:
                while True:
                    async with aclosing(self._next(follower)) as answers:
                        async for answer in answers:
                            yield answer
            except ShuttingDownError:
                yield await self._answer()
                raise

    async def _next(self, follower: Follower) -> AsyncGenerator[Answer]:
        waited_since = time.monotonic()
        chunks, sequences = await follower.wait(self._dependencies.progress_seconds)
        if not chunks and not sequences and self._dependencies.chart_poller.last_polled < waited_since:
            raise UnavailableError  # nothing was found, but nothing was looked for either
        if chunks or not sequences:
            yield await self._answer(chunks)
        for batch in batches(sequences):
            yield await self._answer(await chart_reads.read_chunks(self._dependencies.database, batch))

    async def _answer(self, chunks: Sequence[Chunk] = (), *, is_end_of_history: bool = False) -> Answer:
        for factory_id, _, upto in (chunk.sequences for chunk in chunks):
            self._positions[factory_id] = self._positions[factory_id]._replace(sequence=upto)
        sent = {chunk.sequences.factory_id for chunk in chunks}
        older = self._older & sent
        self._older -= older
        self._begun |= sent
        # A chart of which nothing was sent begins anew, so that its first entry is marked as older then.
        begun = {each: position for each, position in self._positions.items() if each in self._begun}
        token = await make_resume_token(self._dependencies.cipher, self._bound_to, begun)
        return Answer(token, chunks, older, is_end_of_history)
