"""Lets the oldest entries of charts expire, in the background and a few thousand at a time."""

import logging
from functools import partial

from sprocket_grpc.services.charts.upkeep import ChartUpkeep, keeping
from sprocket_grpc.storage import chart_expiry
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.telemetry.background import BackgroundTask

INTERVAL_SECONDS = 600

_log = logging.getLogger(__name__)


class Expiry(ChartUpkeep):
    """Lets entries of the charts of all factories expire; a step deletes up to 5,000, and a round logs their number."""

    def __init__(self, database: Database, keep_days: int) -> None:
        """Keep the entry that was in force `keep_days` ago, and all later ones."""
        scan = partial(chart_expiry.scan, keep_days=keep_days)
        super().__init__(database, scan, partial(chart_expiry.expire, keep_days=keep_days))
        self._keep_days = keep_days
        self._expired = 0

    async def step(self) -> int | None:
        """Let entries of a chart expire, or look for the next charts, as `ChartUpkeep.step`."""
        expired = await super().step()
        self._expired += expired or 0
        if expired is None and self._expired:
            _log.info("%d entries of charts have expired: they were older than %d days", self._expired, self._keep_days)
            self._expired = 0
        return expired


def expiring(database: Database, keep_days: int, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
    """Return the background task that lets entries of charts expire that are older than `keep_days`."""
    return keeping("expire-charts", Expiry(database, keep_days), interval_seconds)
