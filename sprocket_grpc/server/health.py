"""Keeps the health service true: SERVING only while the database answers and its schema is what we need."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from grpc import StatusCode
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.storage.schema_version import find_problem

ANSWER_TIMEOUT_SECONDS = 5

CONFIRM_SECONDS = 1
"""After how long a change is asked for once more: one lost packet is no outage, nor one answer a recovery."""

LIVENESS = "liveness"
"""The name under which the process alone is asked for: to restart it would not mend a database."""

READINESS = "readiness"
"""The name under which it is asked for whether calls may come here."""

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING

_log = logging.getLogger(__name__)


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The standard health service, but that no watch holds up what happens.

    One of the library's holds up the end of the server for all its grace time; and one whose client does not read holds
    up each change of a status for ever, for the library writes to it under the lock that a change takes.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._has_ended = False

    def set(self, service: str, status: int) -> None:
        """Set the health of a service."""
        self._statuses[service] = status
        self._wake()

    def end_watches(self) -> None:
        """End all watches, those to come included, once they have told what was set last."""
        self._has_ended = True
        self._wake()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: ANN401, N802  # as gRPC has it
        """Tell the health of a service."""
        if request.service not in self._statuses:
            await context.abort(StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=self._statuses[request.service])

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:  # noqa: ANN401, N802  # as gRPC has it
        """Tell the health of a service, and every change of it."""
        told = None
        while True:
            changed = self._changed  # before the status is, so that no change is missed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(HealthCheckResponse(status=status))
                told = status
            elif self._has_ended:
                break
            else:
                await changed.wait()
        await context.abort(StatusCode.UNAVAILABLE, "the server is shutting down")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


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
        self._tell(found)

    def drain(self) -> None:
        """Say that no calls should come here any more, whatever the database does; the process is still alive."""
        self._is_draining = True
        self._publish()

    def _tell(self, problem: str | None) -> None:
        if problem != self.problem:
            _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "serving again")
        self.problem = problem
        self._publish()

    def _publish(self) -> None:
        self.servicer.set(LIVENESS, HealthCheckResponse.SERVING)
        for service in self._services:
            is_serving = self.problem is None and not self._is_draining
            self.servicer.set(service, SERVING if is_serving else NOT_SERVING)

    async def _find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                return await self._database.run(find_problem)
        except (SprocketError, TimeoutError):
            return "the database does not answer"
        except UntranslatedError as error:
            return f"the database does not let us look: {error.orig}"
