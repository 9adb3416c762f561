"""Runs `sprocket-grpc serve`, whose job that packs charts can be switched: `python -m bench.packing_server serve`.

The job works while the file that `SWITCH` names exists, with the pauses of production. They count only while it exists,
so that the job takes the same share of short windows as it takes of a long time.
"""

import asyncio
import os
import time
from pathlib import Path

from sprocket_grpc.cli.main import main
from sprocket_grpc.server import dependencies
from sprocket_grpc.services.charts.packing import Packer
from sprocket_grpc.services.charts.upkeep import REST
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.telemetry.background import BackgroundTask

SWITCH = "BENCH_PACKING_SWITCH"
"""The environment variable with the path of the file."""

_LOOK_SECONDS = 0.02
_HANGS_SECONDS = 60


class _Job:
    def __init__(self, database: Database) -> None:
        self._packer = Packer(database)
        self._switch = Path(os.environ[SWITCH])
        self._rest = 0.0

    async def work(self) -> None:
        """Wait for a moment; if that ends a pause, make a page, or look for charts to pack."""
        began = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
        if not self._switch.exists():
            return
        woke = time.monotonic()
        self._rest -= woke - began
        if self._rest <= 0:
            await self._packer.step()
            self._rest = REST * (time.monotonic() - woke)


def _packing(database: Database) -> BackgroundTask:
    return BackgroundTask("pack-charts", _Job(database).work, _HANGS_SECONDS)


if __name__ == "__main__":
    dependencies.packing = _packing  # type: ignore[assignment, attr-defined]  # it is imported there, and called so
    main()
