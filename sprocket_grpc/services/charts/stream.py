"""A stream of charts: the history of a range, then new entries, each response with the token to resume after it."""

import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sprocket_grpc.errors import ExpiredChartError, NotFoundError, ShuttingDownError, UnavailableError
from sprocket_grpc.services.charts.followers import ChartPoller, Follower
from sprocket_grpc.services.charts.history import Opening, batches, groups, is_expired, open_charts, read_history
from sprocket_grpc.services.charts.pages import read_entries
from sprocket_grpc.services.charts.range import ChartRange
from sprocket_grpc.services.charts.resume_token import ResumeTokens
from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.storage.chart_chunks import Chunk
from sprocket_grpc.storage.chart_expiry import read_starts
from sprocket_grpc.storage.chart_reads import Position
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter, ReadSession

_MOST_OPENINGS = 3
"""How often a stream looks for the beginnings of its charts, if they expire before it has sent anything."""


@dataclass(frozen=True)
class ChartDependencies:
    """The dependencies of the chart RPCs.

    Attributes:
        database: The primary, where new entries are first.
        read_router: Where the history is read.
        cipher: Encrypts resume tokens.
        chart_poller: Polls for new entries.
        progress_seconds: The interval of heartbeats of a stream that follows, while nothing happens.
    """

    database: Database
    read_router: ReadRouter
    cipher: TokenCipher
    chart_poller: ChartPoller
    progress_seconds: float = 10


@dataclass(frozen=True)
class Answer:
    """The content of one response.

    Attributes:
        resume_token: Resumes the stream after it.
        chunks: The next entries, at most one chunk per factory.
        older: The factories whose chunk begins with an entry from before the range.
        retained_from: The times of the first entries of charts, in microseconds since 1970, of which older entries of
            the range have expired, by `factory_id`. Each is told once.
        is_end_of_history: Whether only new entries follow.
    """

    resume_token: str
    chunks: Sequence[Chunk]
    older: Collection[str]
    retained_from: Mapping[str, int]
    is_end_of_history: bool


class ChartStream:
    """A stream: its range, and the position that it has sent of each chart."""

    def __init__(self, dependencies: ChartDependencies, requested: ChartRange, tokens: ResumeTokens) -> None:
        """Stream what is asked for, and make its resume tokens by `tokens`."""
        self._dependencies = dependencies
        self._range = requested
        self._tokens = tokens
        self._positions: dict[str, Position] = {}
        self._older: set[str] = set()
        self._retained_from: dict[str, int] = {}

    async def answers(self, *, follow: bool) -> AsyncGenerator[Answer]:
        """Stream the history, and with `follow` the new entries after it.

        Raises:
            NotFoundError: A factory does not exist, or was deleted.
            ExpiredChartError: Entries have expired before they were sent.
            DamagedChartError: A page of a chart is damaged.
            ShuttingDownError: The server is shutting down.
            UnavailableError: No poll for new entries has succeeded for too long.
        """
        expired: list[str] = []
        for _ in range(_MOST_OPENINGS):
            has_answered = False
            try:
                async with aclosing(self._answers(follow=follow)) as answers:
                    async for answer in answers:
                        has_answered = True
                        yield answer
            except NotFoundError as error:
                expired = await self._find_expired()
                if not expired:
                    raise
                if has_answered:
                    raise ExpiredChartError(*expired) from error
            else:
                return
        raise ExpiredChartError(*expired)

    async def _answers(self, *, follow: bool) -> AsyncGenerator[Answer]:
        # One session reads the whole history: on a standby that is further behind, entries would seem to be missing.
        session = self._dependencies.read_router.begin()
        openings = await open_charts(session, self._range)
        self._positions = {
            each.sequences.factory_id: Position(each.created_micros, each.sequences.after) for each in openings
        }
        self._tokens.note({each: self._positions[each] for each in self._positions if each in self._range.positions})
        self._older = {each.sequences.factory_id for each in openings if each.begins_before_start}
        self._retained_from = {
            each.sequences.factory_id: each.retained_from for each in openings if each.retained_from is not None
        }
        async with aclosing(self._history(session, openings)) as history:
            async for answer in history:
                yield answer
        if follow:
            async with aclosing(self._news()) as news:
                async for answer in news:
                    yield answer

    async def _find_expired(self) -> list[str]:
        """Return the factories whose next entries are missing because they have expired, and not with the factory."""
        if not self._positions:
            return []
        starts = await self._dependencies.database.read(read_starts([*self._positions]))
        return [each for each, first in starts.items() if is_expired(self._positions[each], first)]

    async def _history(self, session: ReadSession, openings: Sequence[Opening]) -> AsyncGenerator[Answer]:
        left = sum(each.sequences.entries for each in openings)
        if not left:
            yield await self._answer(is_end_of_history=True)
        async with aclosing(read_history(session, self._range, openings)) as history:
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
            raise UnavailableError  # no new entries, but no poll succeeded either
        if not chunks and not sequences:
            yield await self._answer()
        for group in groups(chunks):
            yield await self._answer(group)
        for batch in batches(sequences):
            chunks = await read_entries(self._dependencies.database, batch)
            yield await self._answer(chunks)

    async def _answer(self, chunks: Sequence[Chunk] = (), *, is_end_of_history: bool = False) -> Answer:
        ranges = [chunk.sequences for chunk in chunks]
        sent = {each.factory_id: self._positions[each.factory_id]._replace(sequence=each.upto) for each in ranges}
        self._positions |= sent
        # A chart of which no entry was sent is not in the token: its first entry will be marked as older then.
        self._tokens.note(sent)
        older = self._older & sent.keys()
        self._older -= older
        told = self._retained_from.keys() & (sent or self._positions).keys()  # without entries, of all charts
        retained_from = {each: self._retained_from.pop(each) for each in told}
        return Answer(await self._tokens.next(), chunks, older, retained_from, is_end_of_history)
