"""Routes reads: to a standby while it is fresh enough, otherwise to the primary.

The age of a standby is measured by the clock of the server alone: it polls the primary for the end of its write-ahead
log, and a standby that has replayed the log up to there shows everything that was committed before the poll.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple, TypeVar

from sprocket_grpc.errors import AbortedError, DamagedChartError, NotFoundError, SprocketError, UnavailableError
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.replication import READ_REPLAYED, READ_WRITTEN
from sprocket_grpc.telemetry.background import BackgroundTask

_ANSWER_TIMEOUT_SECONDS = 5
_UNAVAILABLE_SECONDS = 5
"""The poll interval of a standby that did not answer: each poll of it logs a line."""

_HANGS_SECONDS = 30
"""After this a poll hangs: PostgreSQL did not even answer that it is cancelled."""

_LONGEST_POLL_SECONDS = 1
_POLLS_IN_LAG = 5

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class _Sample(NamedTuple):
    """The result of a poll of the primary.

    Attributes:
        time: When the poll began, by a monotonic clock.
        written: The end of its log then, or a little later.
    """

    time: float
    written: int


class _Standby:
    """A standby, and the time up to which it is known to show all commits."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.as_of = -math.inf


class ReadSession:
    """The reads of one call: all from one standby, or from the primary, which is never behind it.

    A read for which the standby is unavailable, in conflict or behind is repeated on the primary, and so are all later
    reads.
    """

    def __init__(self, primary: Database, standby: _Standby | None) -> None:
        self._primary = primary
        self._standby = standby

    async def read(self, read: Read[_T]) -> _T:
        """Run a read as `Database.read` does, perhaps twice."""
        if self._standby:
            try:
                return await self._standby.database.read(read)
            except UnavailableError:
                self._standby.as_of = -math.inf  # until the next poll
            except (AbortedError, NotFoundError, DamagedChartError):
                pass  # replay conflicted with the read, or is behind, or the disk of the standby is damaged
            self._standby = None
        return await self._primary.read(read)


class ReadRouter:
    """The primary and its standbys, for reads."""

    def __init__(self, primary: Database, standbys: Sequence[Database] = (), maximum_lag_seconds: float = 5) -> None:
        """Start without a fresh standby, until its background tasks have polled.

        Args:
            primary: The primary.
            standbys: Its standbys. A server that is no standby is not used.
            maximum_lag_seconds: The greatest age of what is read.
        """
        self._primary = primary
        self._standbys = [_Standby(each) for each in standbys]
        self._maximum_lag_seconds = maximum_lag_seconds
        self._samples: deque[_Sample] = deque()
        self._turn = count()

    @property
    def databases(self) -> dict[str, Database]:
        """The primary and the standbys, by name."""
        return {"primary": self._primary} | {f"standby-{n}": each.database for n, each in enumerate(self._standbys, 1)}

    @property
    def fresh(self) -> int:
        """The number of standbys that are fresh enough."""
        return len(self._fresh())

    def begin(self) -> ReadSession:
        """Start the reads of one call, in turn among the standbys that are fresh enough."""
        fresh = self._fresh()
        return ReadSession(self._primary, fresh[next(self._turn) % len(fresh)] if fresh else None)

    async def read(self, read: Read[_T]) -> _T:
        """Run the only read of a call."""
        return await self.begin().read(read)

    def tasks(self, primary: Database) -> Iterator[BackgroundTask]:
        """Yield the background tasks that poll the primary and the standbys; none without standbys.

        Args:
            primary: The primary, by other connections than those of calls, so that the polls do not queue behind calls.
        """
        if self._standbys:
            yield BackgroundTask("poll-primary", partial(self._poll_primary, primary), _HANGS_SECONDS)
        for number, standby in enumerate(self._standbys, 1):
            yield BackgroundTask(f"poll-standby-{number}", partial(self._poll_standby, standby), _HANGS_SECONDS)

    async def close(self) -> None:
        """Close all connections to the standbys."""
        for standby in self._standbys:
            await standby.database.close()

    def _fresh(self) -> list[_Standby]:
        since = time.monotonic() - self._maximum_lag_seconds
        return [each for each in self._standbys if each.as_of >= since]

    @property
    def _poll_seconds(self) -> float:
        return min(_LONGEST_POLL_SECONDS, self._maximum_lag_seconds / _POLLS_IN_LAG)

    async def _poll_primary(self, primary: Database) -> None:
        began = time.monotonic()
        if (written := await self._poll(primary, READ_WRITTEN)) is not None:
            self._keep(_Sample(began, written))
        await asyncio.sleep(self._poll_seconds)

    def _keep(self, sample: _Sample) -> None:
        samples = self._samples
        if samples and sample.written < samples[-1].written:
            samples.clear()  # a new primary, which had not received the whole log of the old one
        samples.append(sample)
        while samples[0].time < sample.time - self._maximum_lag_seconds:
            samples.popleft()

    async def _poll_standby(self, standby: _Standby) -> None:
        was_fresh = standby in self._fresh()
        replayed = await self._poll(standby.database, READ_REPLAYED)
        known = [each.time for each in self._samples if replayed is not None and each.written <= replayed]
        standby.as_of = max(known, default=-math.inf)
        if (is_fresh := standby in self._fresh()) != was_fresh:
            _log.info("%s is %s", standby.database, "used for reads" if is_fresh else "not used for reads")
        await asyncio.sleep(_UNAVAILABLE_SECONDS if replayed is None else self._poll_seconds)

    async def _poll(self, database: Database, read: Read[_T]) -> _T | None:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_SECONDS):
                return await database.read(read)
        except TimeoutError:
            database.pool.leave()  # calls that read there shall not wait for it either
            return None
        except SprocketError:
            return None
        except UntranslatedError:
            _log.exception("polling %s for its position in the log failed", database)
            return None
