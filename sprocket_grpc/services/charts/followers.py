"""Notices what is added to the charts that this process follows: one small query a poll for all of them.

It asks instead of being notified: NOTIFY would serialise the commits of the whole database, and neither poolers in
transaction mode nor standbys have it. Nothing runs while nobody follows.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context

from sprocket_grpc.errors import NotFoundError, ShuttingDownError, SprocketError
from sprocket_grpc.storage import chart_reads
from sprocket_grpc.storage.chart_reads import Chunk, Position, SequenceRange
from sprocket_grpc.storage.postgres.database import Database

MOST_SHARED_ENTRIES = 20_000
"""How many new entries one poll reads for all followers together. Beyond that, each reads for itself at its pace."""

_NO_POSITION = Position(0, 0)

_log = logging.getLogger(__name__)


class Follower:
    """One stream that follows charts: what it has not sent yet.

    Its memory is bounded however slow its reader is: of each chart it keeps where the chart ends, and at most one
    chunk, which it shares with the other followers.
    """

    def __init__(self, positions: Mapping[str, Position]) -> None:
        """Take up to where the stream has sent each chart; it keeps this mapping up to date."""
        self._positions = positions
        self._ends: dict[str, int] = {}
        self._shared: dict[str, Chunk] = {}
        self._error: SprocketError | None = None
        self._woken = asyncio.Event()

    def notify(self, factory_id: str, end: Position | None, chunk: Chunk | None) -> None:
        """Hear where a chart ends now, if there is one, and perhaps what was added to it."""
        position = self._positions[factory_id]
        if end is None or end.created_micros > position.created_micros:
            self.fail(NotFoundError("factory", factory_id))
        elif end.sequence > position.sequence:
            if factory_id in self._ends:
                self._shared.pop(factory_id, None)  # the reader is slow: what is new is not all that it lacks
            elif chunk:
                self._shared[factory_id] = chunk
            self._ends[factory_id] = end.sequence
            self._woken.set()

    def fail(self, error: SprocketError) -> None:
        """End the stream. Of several deleted factories, the error names all."""
        if isinstance(self._error, NotFoundError) and isinstance(error, NotFoundError):
            both = dict.fromkeys((*self._error.identifiers, *error.identifiers))  # each poll tells it again
            error = NotFoundError("factory", *both)
        self._error = error
        self._woken.set()

    async def wait(self, seconds: float) -> tuple[list[Chunk], list[SequenceRange]]:
        """Wait until something was added, and return it: what is here already, and what has to be read.

        Nothing, if nothing was added for as many seconds.

        Raises:
            NotFoundError: Factories were deleted.
            ShuttingDownError: The server shuts down.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return [], []
        self._woken.clear()
        if self._error:
            raise self._error
        ends, shared, self._ends, self._shared = self._ends, self._shared, {}, {}
        sequences = [SequenceRange(each, self._positions[each].sequence, end) for each, end in ends.items()]
        here = [shared[sequences.factory_id].cut(sequences) for sequences in sequences if _holds(shared, sequences)]
        return here, [sequences for sequences in sequences if not _holds(shared, sequences)]


def _holds(shared: Mapping[str, Chunk], sequences: SequenceRange) -> bool:
    chunk = shared.get(sequences.factory_id)
    return chunk is not None and chunk.sequences.after <= sequences.after and chunk.sequences.upto == sequences.upto


class ChartPoller:
    """All followers of this process, and the task that looks out for them."""

    def __init__(self, database: Database, poll_seconds: float) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)
        self._known: dict[str, Position] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._streams = 0
        self.last_polled = time.monotonic()

    @contextmanager
    def follow(self, positions: Mapping[str, Position]) -> Iterator[Follower]:
        """Follow charts from these positions on, until the block ends.

        Args:
            positions: Up to where the stream has sent each chart. To be kept up to date.
        """
        follower = Follower(positions)
        if self._stopped:
            follower.fail(ShuttingDownError())
        for factory_id, position in positions.items():
            self._followers[factory_id].add(follower)
            self._known[factory_id] = _earlier(self._known.get(factory_id, position), position)
        self._ensure_polling()
        self._streams += 1
        try:
            yield follower
        finally:
            self._streams -= 1
            for factory_id in positions:
                self._forget(factory_id, follower)

    def stop(self) -> None:
        """End all streams, those to come included."""
        self._stopped = True
        for follower in {each for followers in self._followers.values() for each in followers}:
            follower.fail(ShuttingDownError())
        if self._task:
            self._task.cancel()

    @property
    def count(self) -> int:
        """How many charts are followed."""
        return len(self._followers)

    @property
    def streams(self) -> int:
        """How many streams follow them."""
        return self._streams

    def _forget(self, factory_id: str, follower: Follower) -> None:
        self._followers[factory_id].discard(follower)
        if not self._followers[factory_id]:
            del self._followers[factory_id], self._known[factory_id]

    def _ensure_polling(self) -> None:
        if self._task is None or self._task.done():
            # In a context of its own: what it does is not done in the name of the call that happens to be the first.
            self._task = asyncio.create_task(self._poll_while_followed(), context=Context())

    async def _poll_while_followed(self) -> None:
        while self._followers:
            try:
                await self._poll()
                self.last_polled = time.monotonic()
            except SprocketError as error:  # the database is away; the streams end if that lasts
                _log.warning("charts cannot be followed: %s", error)
            await asyncio.sleep(self._poll_seconds)

    async def _poll(self) -> None:
        moved = await chart_reads.read_moved(self._database, dict(self._known))
        chunks = await self._read_shared(moved)
        for factory_id, end in moved.items():
            if factory_id not in self._known:
                continue  # its last follower has left meanwhile
            self._known[factory_id] = end or _NO_POSITION
            for follower in tuple(self._followers[factory_id]):
                follower.notify(factory_id, end, chunks.get(factory_id))

    async def _read_shared(self, moved: Mapping[str, Position | None]) -> dict[str, Chunk]:
        """Read what was added, unless it is much."""
        known = self._known
        sequences = [
            SequenceRange(each, known[each].sequence, end.sequence)
            for each, end in moved.items()
            if end and each in known and known[each].created_micros == end.created_micros
        ]
        if not sequences or sum(sequences.entries for sequences in sequences) > MOST_SHARED_ENTRIES:
            return {}
        try:
            read = await chart_reads.read_chunks(self._database, sequences)
        except NotFoundError:
            return {}  # one was deleted since, which the next poll sees
        return {chunk.sequences.factory_id: chunk for chunk in read}


def _earlier(known: Position, joining: Position) -> Position:
    """Return from where the next poll has to look, so that no follower misses anything."""
    if known.created_micros != joining.created_micros:
        return _NO_POSITION  # one of the two is of a factory that is gone: the poll tells whose
    return min(known, joining)
