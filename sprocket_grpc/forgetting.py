"""Deletes what is kept for a time only, in the background and a little at a time."""

import asyncio
from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from sprocket_grpc.database import Database
from sprocket_grpc.errors import SprocketError
from sprocket_grpc.store import recorded_request

INTERVAL_SECONDS = 60


async def forget_requests(database: Database, keep_hours: int, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Delete requests that are older than `keep_hours`, again and again, for ever.

    Replicas that do so at the same time do not get in each other's way.
    """
    while True:
        await asyncio.sleep(interval_seconds)
        with suppress(SprocketError, DBAPIError):  # health says that the database is away; there is always a next time
            while await database.run(recorded_request.forget, keep_hours) == recorded_request.MOST_FORGOTTEN_AT_ONCE:
                pass
