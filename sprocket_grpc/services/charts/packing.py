"""Packs the old entries of charts into pages, in the background and page by page."""

import asyncio
import logging
import time
from collections import deque

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage import chart_pages
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.telemetry.background import BackgroundTask

INTERVAL_SECONDS = 60

REST = 19
"""The pause after a page, as a multiple of the time that the page took: the job works a twentieth of the time."""

_LONGEST_REST_SECONDS = 60

_HANGS_SECONDS = 60
"""After this a page hangs. One takes 30 ms."""

_log = logging.getLogger(__name__)


class Packer:
    """Goes through all factories, and packs what their charts have to pack.

    It keeps nothing but its place: after a crash, or beside other packers, it finds in the database what is left.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = chart_pages.NIL_ID
        self._due: deque[str] = deque()

    async def step(self) -> int | None:
        """Make a page, or look for the next charts to pack.

        Returns:
            The number of pages that it made, or None after the last factory; the next step begins anew.
        """
        if not self._due:
            return await self._scan()
        factory_id = self._due.popleft()  # first, so that a chart that cannot be packed does not hold the others
        if not await self._database.run(chart_pages.pack, factory_id):
            return 0
        self._due.appendleft(factory_id)
        return 1

    async def _scan(self) -> int | None:
        found = await self._database.read(chart_pages.scan(self._after))
        self._due.extend(found.factory_ids)
        self._after = found.last_id or chart_pages.NIL_ID
        return 0 if found.last_id else None


def packing(database: Database, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
    """Return the background task that packs charts: all that is due, then a pause.

    All servers of a database have it, and one of them packs at a time. A transaction packs one page, and the pauses
    between pages leave the database to calls.
    """
    packer = Packer(database)
    pause = interval_seconds

    async def pack() -> None:
        nonlocal pause
        await asyncio.sleep(pause)
        pause = interval_seconds
        began = time.monotonic()
        try:
            if await packer.step() is not None:
                pause = min(REST * (time.monotonic() - began), _LONGEST_REST_SECONDS)
        except SprocketError:
            pass  # the database is unavailable, which the health check reports
        except UntranslatedError:
            _log.exception("cannot pack a chart")

    return BackgroundTask("pack-charts", pack, max(interval_seconds, _LONGEST_REST_SECONDS) + _HANGS_SECONDS)
