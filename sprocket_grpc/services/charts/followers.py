"""Polls the charts that this process follows for new entries: one small query for all of them.

NOTIFY is no alternative: it serialises the commits of the whole database, and neither poolers in transaction mode nor
standbys support it. Without followers no poll runs.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context

from sprocket_grpc.caller import current_caller
from sprocket_grpc.errors import NotFoundError, ShuttingDownError, SprocketError
from sprocket_grpc.slots import Slots
from sprocket_grpc.storage import chart_chunks, chart_reads
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.chart_reads import Position
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.telemetry.background import Background, BackgroundTask

MOST_SHARED_ENTRIES = 20_000
"""The most new entries that a poll reads once for all followers. If there are more, each follower reads its own."""

ANSWER_TIMEOUT_SECONDS = 10
"""The most that a poll takes. The streams of longer ones have ended: they report an outage."""

_CANCEL_SECONDS = 15
"""The most that a poll takes to end after that: cancelling a statement of a database that hangs."""

_TASK = "chart-poll"

_NO_POSITION = Position(0, 0)

_log = logging.getLogger(__name__)


class Follower:
    """A stream that follows charts, and what it has not sent yet.

    Its memory is bounded, also for a slow reader: it keeps the end of each chart, and at most one chunk per chart,
    which it shares with the other followers.
    """

    def __init__(self, positions: Mapping[str, Position]) -> None:
        """Start from the position that the stream has sent of each chart; the stream updates this mapping."""
        self._positions = positions
        self._ends: dict[str, int] = {}
        self._shared: dict[str, Chunk] = {}
        self._error: SprocketError | None = None
        self._woken = asyncio.Event()

    def notify(self, factory_id: str, end: Position | None, chunk: Chunk | None) -> None:
        """Take the end of a chart, or None if its factory was deleted, and the new entries if the poll read them."""
        position = self._positions[factory_id]
        if end is None or end.created_micros > position.created_micros:
            self.fail(NotFoundError("factory", factory_id))
        elif end.sequence > position.sequence:
            if factory_id in self._ends:
                self._shared.pop(factory_id, None)  # the reader is slow: the chunk is not all that it lacks
            elif chunk:
                self._shared[factory_id] = chunk
            self._ends[factory_id] = end.sequence
            self._woken.set()

    def fail(self, error: SprocketError) -> None:
        """End the stream with an error, which names all deleted factories."""
        if isinstance(self._error, NotFoundError) and isinstance(error, NotFoundError):
            both = dict.fromkeys((*self._error.identifiers, *error.identifiers))  # each poll repeats it
            error = NotFoundError("factory", *both)
        self._error = error
        self._woken.set()

    async def wait(self, seconds: float) -> tuple[list[Chunk], list[SequenceRange]]:
        """Wait for new entries, and return the chunks that a poll has read and the ranges that the stream must read.

        Both are empty if there were no new entries for this time.

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
    """All followers of this process, and the task that polls for them."""

    def __init__(self, database: Database, poll_seconds: float, background: Background, slots: Slots) -> None:
        self._database = database
        self._slots = slots
        self._poll_seconds = poll_seconds
        self._background = background
        background.restarts[_TASK] = 0  # the metric has it before anybody follows
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)
        self._known: dict[str, Position] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._streams = 0
        self.last_polled = time.monotonic()

    @contextmanager
    def follow(self, positions: Mapping[str, Position]) -> Iterator[Follower]:
        """Follow charts until the block ends.

        Args:
            positions: The position that the stream has sent of each chart. The caller keeps it up to date.

        Raises:
            OverloadedError: Too many charts are followed.
            PrincipalLimitError: The caller follows too many charts.
        """
        holder = current_caller().principal
        self._slots.take(holder, len(positions))
        try:
            with self._follow(positions) as follower:
                yield follower
        finally:
            self._slots.release(holder, len(positions))

    @contextmanager
    def _follow(self, positions: Mapping[str, Position]) -> Iterator[Follower]:
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
        """End all streams, and each later one at once."""
        self._stopped = True
        for follower in {each for followers in self._followers.values() for each in followers}:
            follower.fail(ShuttingDownError())
        if self._task:
            self._task.cancel()

    @property
    def count(self) -> int:
        """The number of charts that are followed."""
        return len(self._followers)

    @property
    def streams(self) -> int:
        """The number of streams that follow them."""
        return self._streams

    def _forget(self, factory_id: str, follower: Follower) -> None:
        self._followers[factory_id].discard(follower)
        if not self._followers[factory_id]:
            del self._followers[factory_id], self._known[factory_id]

    def _ensure_polling(self) -> None:
        if self._task is None or self._task.done():
            limit = ANSWER_TIMEOUT_SECONDS + _CANCEL_SECONDS + self._poll_seconds
            polling = BackgroundTask(_TASK, self._poll_once, limit, lambda: bool(self._followers))
            # In a context of its own, or its log lines would have the request id of the first follower.
            self._task = asyncio.create_task(self._background.keep(polling), context=Context())

    async def _poll_once(self) -> None:
        """Poll, and pause. If a poll fails, the streams go on, and end if that lasts."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await self._poll()
            self.last_polled = time.monotonic()
        except SprocketError as error:
            _log.warning("polling the followed charts failed: %s", error)
        except TimeoutError:
            _log.warning("polling the followed charts failed: no answer within %g s", ANSWER_TIMEOUT_SECONDS)
        await asyncio.sleep(self._poll_seconds)

    async def _poll(self) -> None:
        if not self._known:
            return  # the last follower has left before this round began
        moved = await self._database.read(chart_reads.read_moved(dict(self._known)))
        chunks = await self._read_shared(moved)
        for factory_id, end in moved.items():
            if factory_id not in self._known:
                continue  # its last follower has left meanwhile
            self._known[factory_id] = end or _NO_POSITION
            for follower in tuple(self._followers[factory_id]):
                follower.notify(factory_id, end, chunks.get(factory_id))

    async def _read_shared(self, moved: Mapping[str, Position | None]) -> dict[str, Chunk]:
        """Read the new entries once for all followers, unless there are too many or some are in pages already."""
        known = self._known
        sequences = [
            SequenceRange(each, known[each].sequence, end.sequence)
            for each, end in moved.items()
            if end and each in known and known[each].created_micros == end.created_micros
        ]
        if not sequences or sum(sequences.entries for sequences in sequences) > MOST_SHARED_ENTRIES:
            return {}
        try:
            read = await self._database.read(chart_chunks.read_chunks(sequences))
        except NotFoundError:
            return {}  # a factory was deleted meanwhile, which the next poll sees
        return {chunk.sequences.factory_id: chunk for chunk in read if not chunk.pages}


def _earlier(known: Position, joining: Position) -> Position:
    """Return the position from which the next poll starts, so that no follower misses an entry."""
    if known.created_micros != joining.created_micros:
        return _NO_POSITION  # one of the two factories was deleted: the poll finds out which
    return min(known, joining)
