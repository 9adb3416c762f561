"""Deletes what is kept for a time only, in the background and a little at a time."""

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
    """Delete requests that are older than `keep_hours`, again and again, for ever.

    Replicas that do so at the same time do not get in each other's way.
    """
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            while await database.run(idempotency.purge, keep_hours) == idempotency.PURGE_BATCH_SIZE:
                pass
        except SprocketError:
            pass  # the database is away, which its health says; there is always a next time
        except UntranslatedError:
            _log.exception("requests that are older than they are kept for cannot be deleted")
