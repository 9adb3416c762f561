"""Keeps the partitions of the audit log in the background: makes them ahead, and drops expired ones."""

import asyncio
import logging

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage.audit_partitions import create_partitions, drop_expired
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.telemetry.background import BackgroundTask

INTERVAL_SECONDS = 3600

_AGAIN_SECONDS = 60
"""The pause after a failure, such as a lock that others have."""

_HANGS_SECONDS = 60

_log = logging.getLogger(__name__)


class AuditUpkeep:
    """Keeps the partitions of the audit log. Replicas may do so at the same time.

    Attributes:
        has_misplaced_entries: Whether there were entries without a partition of their month at the last round.
    """

    def __init__(self, database: Database, keep_days: int | None) -> None:
        """Keep the log in a database; `keep_days` is the age at which its entries expire, or None for never."""
        self._database = database
        self._keep_days = keep_days
        self.has_misplaced_entries = False

    def task(self, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
        """Return the background task."""

        async def run_round() -> None:
            await asyncio.sleep(interval_seconds if await self._succeeds() else _AGAIN_SECONDS)

        return BackgroundTask("audit-partitions", run_round, interval_seconds + _HANGS_SECONDS)

    async def run(self) -> None:
        """Create the partitions that are missing, and drop all that are expired.

        Raises:
            SprocketError: The database is unavailable, others have a lock, or the owner keeps entries for longer.
        """
        self.has_misplaced_entries = await self._database.run(create_partitions)
        while self._keep_days is not None and (name := await self._database.run(drop_expired, self._keep_days)):
            _log.info("dropped %s: its entries of the audit log are older than %d days", name, self._keep_days)

    async def _succeeds(self) -> bool:
        try:
            await self.run()
        except SprocketError:
            return False  # which is logged where it is translated
        except UntranslatedError:
            _log.exception("cannot keep the partitions of the audit log")
            return False
        return True
