"""Upkeep of charts in the background: works on all charts that need it, chart by chart, with pauses for calls."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage.chart_pages import NIL_ID, Scan
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.telemetry.background import BackgroundTask

REST = 19
"""The pause after a step, as a multiple of the time that it took: the upkeep works a twentieth of the time."""

_LONGEST_REST_SECONDS = 60

_HANGS_SECONDS = 60
"""After this a step hangs. One takes 30 ms."""

Scanner: TypeAlias = Callable[[str], Read[Scan]]
"""Looks for charts that need the upkeep, among the next factories behind an id."""

Work: TypeAlias = Callable[[Connection, str], int]
"""Does a part of the upkeep of a chart, and returns how much it was; 0 if nothing is left to do."""

_log = logging.getLogger(__name__)


class ChartUpkeep:
    """Goes through all factories, and does the upkeep of their charts.

    It keeps nothing but its place: after a crash, or beside other servers, it finds in the database what is left.
    """

    def __init__(self, database: Database, scan: Scanner, work: Work) -> None:
        self._database = database
        self._find = scan
        self._work = work
        self._after = NIL_ID
        self._due: deque[str] = deque()

    async def step(self) -> int | None:
        """Do a part of the upkeep of a chart, or look for the next charts.

        Returns:
            What was done, or None after the last factory; the next step begins anew.
        """
        if not self._due:
            return await self._scan()
        factory_id = self._due.popleft()  # first, so that a chart whose upkeep fails does not hold the others
        done = int(await self._database.run(self._work, factory_id))
        if done:
            self._due.appendleft(factory_id)
        return done

    async def _scan(self) -> int | None:
        found = await self._database.read(self._find(self._after))
        self._due.extend(found.factory_ids)
        self._after = found.last_id or NIL_ID
        return 0 if found.last_id else None


def keeping(name: str, upkeep: ChartUpkeep, interval_seconds: float) -> BackgroundTask:
    """Return the background task that does an upkeep: all that is due, then a pause.

    All servers of a database have it, and one of them works at a time. The pauses between steps leave the database to
    calls.
    """
    pause = interval_seconds

    async def keep() -> None:
        nonlocal pause
        await asyncio.sleep(pause)
        pause = min(interval_seconds, _LONGEST_REST_SECONDS)  # after a failure, such as a lock that others have
        began = time.monotonic()
        try:
            is_round_over = await upkeep.step() is None
            pause = interval_seconds if is_round_over else min(REST * (time.monotonic() - began), _LONGEST_REST_SECONDS)
        except SprocketError:
            pass  # the database is unavailable, which the health check reports, or the reason is logged
        except UntranslatedError:
            _log.exception("the task %s failed for a chart", name)

    return BackgroundTask(name, keep, max(interval_seconds, _LONGEST_REST_SECONDS) + _HANGS_SECONDS)
