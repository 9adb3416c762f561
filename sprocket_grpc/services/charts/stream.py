"""One stream of charts: the history of a range, then what is added, each answer with where to go on after it."""

import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sprocket_grpc.errors import ShuttingDownError, UnavailableError
from sprocket_grpc.services.charts.followers import Follower, Following
from sprocket_grpc.services.charts.history import Opening, batches, open_charts, read_history
from sprocket_grpc.services.charts.range import ChartRange
from sprocket_grpc.services.charts.resume_token import seal_resume_token
from sprocket_grpc.services.standard.sealing import Sealer
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_reads import Place, Stretch
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import Reading, Replicas


@dataclass(frozen=True)
class ChartTools:
    """What all streams of charts work with.

    Attributes:
        database: Where charts are followed: what is new is on the primary first.
        replicas: Where their history is read.
        sealer: What seals resume tokens.
        following: What notices new entries.
        progress_seconds: How long a stream that follows is silent at most.
    """

    database: Database
    replicas: Replicas
    sealer: Sealer
    following: Following
    progress_seconds: float = 10


@dataclass(frozen=True)
class Answer:
    """What one response says.

    Attributes:
        resume_token: Where to go on after it.
        stretches: The next entries, at most one stretch of each factory.
        older: The factories whose stretch begins with an entry from before the range.
        is_end_of_history: Whether all that comes after it is new.
    """

    resume_token: str
    stretches: Sequence[Stretch]
    older: Collection[str]
    is_end_of_history: bool


class ChartStream:
    """One stream: what it was asked for, and up to where it has got."""

    def __init__(self, tools: ChartTools, asked: ChartRange, bound_to: bytes) -> None:
        """Take what is asked for, and what the resume tokens are to be bound to."""
        self._tools = tools
        self._asked = asked
        self._bound_to = bound_to
        self._places: dict[str, Place] = {}
        self._begun = set(asked.places)
        self._older: set[str] = set()

    async def answers(self, *, follow: bool) -> AsyncGenerator[Answer]:
        """Stream the history, and go on with what is added if asked to.

        Raises:
            NotFoundError: A factory does not exist, or not any more.
            ShuttingDownError: The server shuts down.
            UnavailableError: The database could not be asked for new entries for too long.
        """
        # All of the history is read in one place. On a standby that is behind it, entries would seem to be gone.
        reading = self._tools.replicas.begin()
        openings = await reading.run(open_charts, self._asked)
        self._places = {each.span.factory_id: Place(each.created_micros, each.span.after) for each in openings}
        self._older = {each.span.factory_id for each in openings if each.begins_before_start}
        async with aclosing(self._history(reading, openings)) as history:
            async for answer in history:
                yield answer
        if follow:
            async with aclosing(self._news()) as news:
                async for answer in news:
                    yield answer

    async def _history(self, reading: Reading, openings: Sequence[Opening]) -> AsyncGenerator[Answer]:
        left = sum(each.span.entries for each in openings)
        if not left:
            yield await self._answer(is_end_of_history=True)
        async with aclosing(read_history(reading, self._asked, openings)) as history:
            async for stretches in history:
                left -= sum(each.span.entries for each in stretches)
                yield await self._answer(stretches, is_end_of_history=not left)

    async def _news(self) -> AsyncGenerator[Answer]:
        with self._tools.following.follow(self._places) as follower:
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
        stretches, spans = await follower.wait(self._tools.progress_seconds)
        if not stretches and not spans and self._tools.following.last_looked < waited_since:
            raise UnavailableError  # nothing was found, but nothing was looked for either
        if stretches or not spans:
            yield await self._answer(stretches)
        for batch in batches(spans):
            yield await self._answer(await chart_reads.read_stretches(self._tools.database, batch))

    async def _answer(self, stretches: Sequence[Stretch] = (), *, is_end_of_history: bool = False) -> Answer:
        for factory_id, _, upto in (stretch.span for stretch in stretches):
            self._places[factory_id] = self._places[factory_id]._replace(sequence=upto)
        sent = {stretch.span.factory_id for stretch in stretches}
        older = self._older & sent
        self._older -= older
        self._begun |= sent
        # A chart of which nothing was sent begins anew, so that its first entry is marked as older then.
        begun = {each: place for each, place in self._places.items() if each in self._begun}
        token = await seal_resume_token(self._tools.sealer, self._bound_to, begun)
        return Answer(token, stretches, older, is_end_of_history)
