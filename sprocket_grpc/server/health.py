"""The health service: SERVING only while the database answers and has the schema of this version."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse  # type: ignore[attr-defined]  # newer than the stubs

from sprocket_grpc.errors import DatabaseMisconfiguredError, ShuttingDownError, SprocketError, UnknownServiceError
from sprocket_grpc.services import Context
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from sprocket_grpc.storage.schema_version import find_problem_of
from sprocket_grpc.telemetry.background import BackgroundTask

ANSWER_TIMEOUT_SECONDS = 3

CONFIRM_SECONDS = 1
"""The time that a database without an answer gets in addition, and the delay before another failure is checked again:
a single failed check is not yet an outage."""

PROBLEM_SECONDS = 0.5
"""The interval of the checks while there is a problem."""

_GIVE_UP_SECONDS = 10
"""The time after which a check is given up, and the next one asks again. It is longer than it takes to connect."""

_SLACK_SECONDS = 5

_NO_ANSWER = "the database does not answer"

LIVENESS = "liveness"
"""The service name for liveness: it ignores the database, because a restart would not repair that."""

READINESS = "readiness"
"""The service name for readiness: whether this server should receive calls."""

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING

_log = logging.getLogger(__name__)


class HealthServicer:
    """The standard health service, with watches that block neither shutdown nor status changes.

    In the library's servicer, a watch delays shutdown for the whole grace period, and a watch whose client does not
    read blocks every status change for ever, because the library writes to the client while it holds a lock.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._has_ended = False

    def set(self, service: str, status: int) -> None:
        """Set the status of a service."""
        self._statuses[service] = status
        self._wake()

    def end_watches(self) -> None:
        """End all present and future watches after they have sent the last status."""
        self._has_ended = True
        self._wake()

    async def Check(self, request: HealthCheckRequest, _: Context) -> HealthCheckResponse:  # noqa: N802  # as gRPC has it
        """Return the status of a service.

        Raises:
            UnknownServiceError: There is no such service.
        """
        if request.service not in self._statuses:
            raise UnknownServiceError
        return HealthCheckResponse(status=self._statuses[request.service])

    async def List(self, _request: HealthListRequest, _: Context) -> HealthListResponse:  # noqa: N802  # as gRPC has it
        """Return the statuses of all services."""
        statuses = self._statuses.items()
        return HealthListResponse(statuses={name: HealthCheckResponse(status=status) for name, status in statuses})

    async def Watch(self, request: HealthCheckRequest, _: Context) -> AsyncGenerator[HealthCheckResponse]:  # noqa: N802  # as gRPC has it
        """Stream the status of a service, and every change of it.

        Raises:
            ShuttingDownError: The server is shutting down.
        """
        sent = None
        while True:
            changed = self._changed  # read before the status, so that no change is missed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != sent:
                yield HealthCheckResponse(status=status)
                sent = status
            elif self._has_ended:
                raise ShuttingDownError
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthMonitor:
    """Checks the database at intervals, and updates the health service.

    Attributes:
        servicer: The health service, for the server.
        problem: Why the server is NOT_SERVING, for a person; None while it is SERVING.
    """

    def __init__(self, database: Database, services: Sequence[str], others: Sequence[Database] = ()) -> None:
        """Start without a result.

        Args:
            database: The database that is checked.
            services: The names of the services.
            others: Other connections to it, which are closed too when it hangs.
        """
        self.servicer = HealthServicer()
        self.problem: str | None = None
        self._database = database
        self._databases = [database, *others]
        self._services = ["", READINESS, *services]  # the empty name stands for the whole server
        self._has_checked = False
        self._is_draining = False
        self._asking: asyncio.Task[str | None] | None = None

    def task(self, interval_seconds: float) -> BackgroundTask:
        """Return the background task that checks at intervals, and more often while there is a problem."""
        limit = interval_seconds + 2 * ANSWER_TIMEOUT_SECONDS + CONFIRM_SECONDS + _SLACK_SECONDS
        return BackgroundTask("health", partial(self._check_after, interval_seconds), limit)

    async def _check_after(self, interval_seconds: float) -> None:
        try:
            await asyncio.sleep(min(interval_seconds, PROBLEM_SECONDS) if self.problem else interval_seconds)
            await self.check()
        except asyncio.CancelledError:
            if self._asking:
                self._asking.cancel()
            raise

    async def check(self) -> None:
        """Check once. If the result has changed, check again before the status changes, so that it does not flap."""
        found = await self._find_problem(ANSWER_TIMEOUT_SECONDS)
        if self._has_checked and bool(found) != bool(self.problem):
            found = await self._confirmed()
        if self._asking and not self.problem:
            self._leave()
        self._has_checked = True
        self._set_problem(found)

    async def _confirmed(self) -> str | None:
        """Wait longer for an answer that is still due; otherwise ask again, sooner if the database is back."""
        if self._asking:
            return await self._find_problem(CONFIRM_SECONDS)
        await asyncio.sleep(min(CONFIRM_SECONDS, PROBLEM_SECONDS) if self.problem else CONFIRM_SECONDS)
        return await self._find_problem(ANSWER_TIMEOUT_SECONDS)

    def _leave(self) -> None:
        """Close all connections to a database that hangs, so that nothing waits for it."""
        if self._asking:
            self._asking.cancel()
            self._asking = None
        for database in self._databases:
            database.pool.leave()

    def drain(self) -> None:
        """Set readiness to NOT_SERVING for good. Liveness stays SERVING."""
        self._is_draining = True
        self._publish()

    def _set_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or "SERVING again")
        self.problem = problem
        self._publish()

    def _publish(self) -> None:
        self.servicer.set(LIVENESS, HealthCheckResponse.SERVING)
        for service in self._services:
            is_serving = self.problem is None and not self._is_draining
            self.servicer.set(service, SERVING if is_serving else NOT_SERVING)

    async def _find_problem(self, seconds: float) -> str | None:
        """Ask the database. Unless it answers in time, the next check waits for the same answer."""
        self._asking = self._asking or asyncio.create_task(self._ask())
        await asyncio.wait({self._asking}, timeout=seconds)
        if not self._asking.done():
            return _NO_ANSWER
        answered, self._asking = self._asking, None
        return answered.result()

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                return await find_problem_of(self._database)
        except DatabaseMisconfiguredError as error:
            return f"the database rejects the health check: {error.problem}"
        except TimeoutError:
            self._database.pool.leave()
            return _NO_ANSWER
        except SprocketError:
            return _NO_ANSWER
        except UntranslatedError as error:
            return f"the database rejects the health check: {error}"
