"""Keeps the health service true: SERVING only while the database answers and its schema is what we need."""

import asyncio
import logging
from collections.abc import Sequence

from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckResponse

from sprocket_grpc.database import Database
from sprocket_grpc.errors import SprocketError
from sprocket_grpc.store.schema import find_problem

ANSWER_TIMEOUT_SECONDS = 5

_log = logging.getLogger(__name__)


class HealthMonitor:
    """Asks the database at intervals, and tells the health service.

    Attributes:
        servicer: The standard health service, for the server.
        problem: What keeps us from serving, for a person; None while all is well.
    """

    def __init__(self, database: Database, services: Sequence[str]) -> None:
        self.servicer = aio.HealthServicer()
        self.problem: str | None = None
        self._database = database
        self._services = ["", *services]  # the empty name stands for the server as a whole

    async def watch(self, interval_seconds: float) -> None:
        """Ask again and again, for ever."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.check()

    async def check(self) -> None:
        """Ask once."""
        problem = await self._find_problem()
        status = HealthCheckResponse.NOT_SERVING if problem else HealthCheckResponse.SERVING
        for service in self._services:
            await self.servicer.set(service, status)
        if problem != self.problem:
            _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "serving again")
        self.problem = problem

    async def _find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return await self._database.run(find_problem)
        except (SprocketError, TimeoutError):
            return "the database does not answer"
