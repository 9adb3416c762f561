"""Keeps the health service true: SERVING only while the database answers and its schema is what we need."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from grpc import StatusCode
from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sprocket_grpc.database import Database
from sprocket_grpc.errors import SprocketError
from sprocket_grpc.store.schema import find_problem

ANSWER_TIMEOUT_SECONDS = 5

CONFIRM_SECONDS = 1
"""After how long a change is asked for once more: one lost packet is no outage, nor one answer a recovery."""

LIVENESS = "liveness"
"""The name under which the process alone is asked for: to restart it would not mend a database."""

READINESS = "readiness"
"""The name under which it is asked for whether calls may come here."""

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING

_log = logging.getLogger(__name__)


class HealthServicer(aio.HealthServicer):
    """The standard health service, but that watches end when they are told to.

    Otherwise they would hold up the shutdown of the server for all its grace time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:  # noqa: ANN401, N802  # as gRPC has it
        """Tell the health of a service, and every change of it."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            done, _ = await asyncio.wait({watching, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            ended.cancel()
        if watching in done:
            watching.result()  # raises: it only ends when the client is gone
        await context.abort(StatusCode.UNAVAILABLE, "the server is shutting down")

    def end_watches(self) -> None:
        """End all watches, those to come included."""
        self._ended.set()


class HealthMonitor:
    """Asks the database at intervals, and tells the health service.

    Attributes:
        servicer: The health service, for the server.
        problem: What keeps us from serving, for a person; None while all is well.
    """

    def __init__(self, database: Database, services: Sequence[str]) -> None:
        self.servicer = HealthServicer()
        self.problem: str | None = None
        self._database = database
        self._services = ["", READINESS, *services]  # the empty name stands for the server as a whole
        self._has_asked = False
        self._is_draining = False

    async def watch(self, interval_seconds: float) -> None:
        """Ask again and again, for ever."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.check()

    async def check(self) -> None:
        """Ask once, and once more before a change is believed: what flaps stays what it was."""
        found = await self._find_problem()
        if self._has_asked and bool(found) != bool(self.problem):
            await asyncio.sleep(CONFIRM_SECONDS)
            found = await self._find_problem()
        self._has_asked = True
        await self._tell(found)

    async def drain(self) -> None:
        """Say that no calls should come here any more, whatever the database does; the process is still alive."""
        self._is_draining = True
        await self._publish()

    async def _tell(self, problem: str | None) -> None:
        if problem != self.problem:
            _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "serving again")
        self.problem = problem
        await self._publish()

    async def _publish(self) -> None:
        await self.servicer.set(LIVENESS, HealthCheckResponse.SERVING)
        for service in self._services:
            is_serving = self.problem is None and not self._is_draining  # which may begin meanwhile
            await self.servicer.set(service, SERVING if is_serving else NOT_SERVING)

    async def _find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return await self._database.run(find_problem)
        except (SprocketError, TimeoutError):
            return "the database does not answer"
