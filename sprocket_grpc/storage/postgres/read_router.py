"""Where reads go: to a standby while it is known to be fresh enough, and else to the primary.

How old a standby is, is measured by our clock alone: we ask the primary again and again where its log ends, and a
standby that has replayed the log up to there shows all that was committed before we asked.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from sprocket_grpc.errors import AbortedError, NotFoundError, SprocketError, UnavailableError
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.storage.postgres.prepared import Read, T
from sprocket_grpc.storage.postgres.replication import READ_REPLAYED, READ_WRITTEN

_ANSWER_TIMEOUT_SECONDS = 5
_AWAY_SECONDS = 5
"""After how long a standby that did not answer is asked again: each time leaves a line in the log."""

_LONGEST_TICK_SECONDS = 1
_TICKS_IN_LAG = 5

_log = logging.getLogger(__name__)


class _Sample(NamedTuple):
    """A look at the primary.

    Attributes:
        time: When we asked, by a clock that never goes back.
        written: Up to where its log was written then, or a little later.
    """

    time: float
    written: int


class _Standby:
    """A standby, and as of when it is known to show everything."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.as_of = -math.inf


class ReadSession:
    """What one call reads: all from one standby, or from the primary, which is never behind it.

    What fails on the standby, or is missing there, is read again on the primary, and so is all that is read after it.
    """

    def __init__(self, primary: Database, standby: _Standby | None) -> None:
        self._primary = primary
        self._standby = standby

    async def read(self, read: Read[T]) -> T:
        """Run a read as `Database.read` does, perhaps twice."""
        if self._standby:
            try:
                return await self._standby.database.read(read)
            except UnavailableError:
                self._standby.as_of = -math.inf  # until it is heard of again
            except (AbortedError, NotFoundError):
                pass  # what it replays was in the way of the read, or it has not replayed enough
            self._standby = None
        return await self._primary.read(read)


class ReadRouter:
    """The primary and its standbys, as those see them who only read."""

    def __init__(self, primary: Database, standbys: Sequence[Database] = (), maximum_lag_seconds: float = 5) -> None:
        """Take standbys that nothing is known of before `watch` runs.

        Args:
            primary: The primary.
            standbys: Its standbys. Any that turns out to be none is not used.
            maximum_lag_seconds: How old what is read may be.
        """
        self._primary = primary
        self._standbys = [_Standby(each) for each in standbys]
        self._maximum_lag_seconds = maximum_lag_seconds
        self._samples: deque[_Sample] = deque()
        self._turn = count()

    @property
    def databases(self) -> dict[str, Database]:
        """The primary and the standbys, by names to tell them apart."""
        return {"primary": self._primary} | {f"standby-{n}": each.database for n, each in enumerate(self._standbys, 1)}

    @property
    def fresh(self) -> int:
        """How many standbys are fresh enough now."""
        return len(self._fresh())

    def begin(self) -> ReadSession:
        """Choose where one call reads, in turn among the standbys that are fresh enough."""
        fresh = self._fresh()
        return ReadSession(self._primary, fresh[next(self._turn) % len(fresh)] if fresh else None)

    async def read(self, read: Read[T]) -> T:
        """Run the only read of a call."""
        return await self.begin().read(read)

    async def watch(self, primary: Database) -> None:
        """Keep an eye on how old the standbys are, for ever.

        Args:
            primary: Connections to the primary that are not those of requests, behind which this would wait.
        """
        if self._standbys:
            await asyncio.gather(self._sample(primary), *map(self._look_at, self._standbys))

    async def close(self) -> None:
        """Close all connections to the standbys."""
        for standby in self._standbys:
            await standby.database.close()

    def _fresh(self) -> list[_Standby]:
        since = time.monotonic() - self._maximum_lag_seconds
        return [each for each in self._standbys if each.as_of >= since]

    @property
    def _tick_seconds(self) -> float:
        return min(_LONGEST_TICK_SECONDS, self._maximum_lag_seconds / _TICKS_IN_LAG)

    async def _sample(self, primary: Database) -> None:
        while True:
            asked = time.monotonic()
            if (written := await self._ask(primary, READ_WRITTEN)) is not None:
                self._keep(_Sample(asked, written))
            await asyncio.sleep(self._tick_seconds)

    def _keep(self, sample: _Sample) -> None:
        samples = self._samples
        if samples and sample.written < samples[-1].written:
            samples.clear()  # of another primary, which had not got all of the log before it took over
        samples.append(sample)
        while samples[0].time < sample.time - self._maximum_lag_seconds:
            samples.popleft()

    async def _look_at(self, standby: _Standby) -> None:
        while True:
            was_fresh = standby in self._fresh()
            replayed = await self._ask(standby.database, READ_REPLAYED)
            known = [each.time for each in self._samples if replayed is not None and each.written <= replayed]
            standby.as_of = max(known, default=-math.inf)
            if (is_fresh := standby in self._fresh()) != was_fresh:
                _log.info("%s is %s", standby.database, "used for reads" if is_fresh else "not used for reads")
            await asyncio.sleep(_AWAY_SECONDS if replayed is None else self._tick_seconds)

    async def _ask(self, database: Database, question: Read[T]) -> T | None:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_SECONDS):
                return await database.read(question)
        except (SprocketError, TimeoutError):
            return None
        except UntranslatedError:
            _log.exception("%s does not say how far it is", database)
            return None
