"""Purges expired records in the background, in small batches."""

import asyncio
import logging

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage import idempotency
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError

INTERVAL_SECONDS = 60

_log = logging.getLogger(__name__)


async def purge_expired_requests(
    database: Database, keep_hours: int, interval_seconds: float = INTERVAL_SECONDS
) -> None:
    """Purge requests that are older than `keep_hours` at intervals, until cancelled.

    Replicas may purge at the same time.
    """
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            while await database.run(idempotency.purge, keep_hours) == idempotency.PURGE_BATCH_SIZE:
                pass
        except SprocketError:
            pass  # the database is unavailable, which the health check reports; the next purge follows
        except UntranslatedError:
            _log.exception("cannot purge expired requests")
