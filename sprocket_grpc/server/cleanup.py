"""Purges expired records in the background, in small batches."""

import asyncio
import logging

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage import idempotency
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.telemetry.background import BackgroundTask

INTERVAL_SECONDS = 60

_HANGS_SECONDS = 60
"""After this a batch hangs."""

_log = logging.getLogger(__name__)


def purging(database: Database, keep_hours: int, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
    """Return the background task that purges requests that are older than `keep_hours` at intervals.

    Replicas may purge at the same time.
    """
    is_done = True

    async def purge() -> None:
        """Pause unless more are expired, and purge a batch."""
        nonlocal is_done
        if is_done:
            await asyncio.sleep(interval_seconds)
        is_done = True
        try:
            is_done = await database.run(idempotency.purge, keep_hours) < idempotency.PURGE_BATCH_SIZE
        except SprocketError:
            pass  # the database is unavailable, which the health check reports; the next purge follows
        except UntranslatedError:
            _log.exception("cannot purge expired requests")

    return BackgroundTask("purge-requests", purge, interval_seconds + _HANGS_SECONDS)
