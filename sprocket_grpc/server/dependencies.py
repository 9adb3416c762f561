"""The dependencies of a server: created from the settings, and closed at the end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprocket_grpc.auth.authentication import Authentication, create_authentication
from sprocket_grpc.config.database_url import split_by_hosts
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.contract import SERVICES
from sprocket_grpc.server.audit_upkeep import AuditUpkeep
from sprocket_grpc.server.cleanup import purging
from sprocket_grpc.server.health import HealthMonitor
from sprocket_grpc.services.charts.expiry import expiring
from sprocket_grpc.services.charts.followers import ChartPoller
from sprocket_grpc.services.charts.packing import packing
from sprocket_grpc.slots import Slots
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.lane import LaneLimits
from sprocket_grpc.storage.postgres.read_router import ReadRouter
from sprocket_grpc.telemetry.background import Background, BackgroundTask

if TYPE_CHECKING:
    from sprocket_grpc.interceptors.rate_limit import RateLimit
    from sprocket_grpc.server.instrumentation import Instrumentation


@dataclass(frozen=True)
class ServerDependencies:
    """The dependencies of a server.

    Attributes:
        settings: The settings.
        database: The primary database.
        read_router: Routes calls without side effects to the primary or a standby.
        monitor: Checks the health of the database.
        chart_poller: Polls charts for new entries.
        audit_upkeep: Keeps the partitions of the audit log.
        authentication: Authenticates callers, or None if authentication is off.
        rate_limit: Limits the calls of each caller, or None if rates are not limited.
        instrumentation: Produces traces and metrics, or None if both are off.
        supervisor: Supervises the background tasks.
    """

    settings: Settings
    database: Database
    read_router: ReadRouter
    monitor: HealthMonitor
    chart_poller: ChartPoller
    audit_upkeep: AuditUpkeep
    authentication: Authentication | None
    rate_limit: "RateLimit | None"
    instrumentation: "Instrumentation | None"
    supervisor: Background

    def background(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield the supervised tasks that run in the background until the server stops."""
        return map(self.supervisor.keep, self._tasks())

    def _tasks(self) -> Iterator[BackgroundTask]:
        yield self.monitor.task(self.settings.health_interval_seconds)
        yield purging(self.database, self.settings.request_id_hours)
        yield self.audit_upkeep.task()
        yield packing(self.database)
        if self.settings.chart_retention_days:
            yield expiring(self.database, self.settings.chart_retention_days)
        if self.authentication:
            yield from self.authentication.tasks()
        if self.instrumentation:
            yield BackgroundTask("event-loop-lag", self.instrumentation.event_loop_lag.measure)


@asynccontextmanager
async def open_dependencies(settings: Settings, url: str) -> AsyncIterator[ServerDependencies]:
    """Yield the dependencies of a server, with connections to a database that are closed when the block ends.

    Args:
        settings: The settings.
        url: The URL of the database.

    Raises:
        AddressInUseError: The address for metrics is not available.
    """
    database = _database(settings, url)
    # A connection of its own, so that health checks do not wait behind requests on a busy server.
    health_database = Database(url, pool_size=1, prepared_statements=settings.database_prepared_statements)
    try:
        async with dependencies_on(settings, database, health_database) as dependencies:
            yield dependencies
    finally:
        await database.close()
        await health_database.close()


@asynccontextmanager
async def dependencies_on(
    settings: Settings, database: Database, health_database: Database
) -> AsyncIterator[ServerDependencies]:
    """Yield the dependencies of a server on a database that stays open when the block ends.

    Args:
        settings: The settings.
        database: The primary database.
        health_database: Separate connections to it for health checks. May be `database` in tests.

    Raises:
        AddressInUseError: The address for metrics is not available.
    """
    read_router = _read_router(settings, database)
    monitor = HealthMonitor(health_database, SERVICES, [database])
    # A stream reports an outage if no poll happened within its progress interval.
    poll_seconds = min(settings.follow_tick_seconds, settings.follow_progress_seconds / 2)
    supervisor = Background()
    followed = Slots(settings.followed_chart_limit, settings.principal_charts, "followed charts")
    chart_poller = ChartPoller(database, poll_seconds, supervisor, followed)
    audit_upkeep = AuditUpkeep(database, settings.audit_retention_days)
    rate_limit = _rate_limit(settings)
    polls = [asyncio.create_task(supervisor.keep(task)) for task in read_router.tasks(health_database)]
    try:
        with _instrumentation(settings) as instrumentation:
            if instrumentation:
                instrumentation.observe(read_router, chart_poller, audit_upkeep, monitor, supervisor)
            authentication = create_authentication(settings, database)
            yield ServerDependencies(
                settings,
                database,
                read_router,
                monitor,
                chart_poller,
                audit_upkeep,
                authentication,
                rate_limit,
                instrumentation,
                supervisor,
            )
    finally:
        for poll in polls:
            poll.cancel()
        await read_router.close()
        if rate_limit:
            await rate_limit.close()


def _database(settings: Settings, url: str) -> Database:
    """Return a database with the connection pool that the settings describe."""
    return Database(
        url,
        pool_size=settings.pool_size,
        pool_timeout_seconds=settings.pool_timeout_seconds,
        prepared_statements=settings.database_prepared_statements,
        lane=LaneLimits(
            settings.expensive_call_limit or max(1, settings.pool_size * 3 // 4),
            settings.pool_timeout_seconds,
            settings.expensive_call_timeout_seconds,
        ),
    )


def _read_router(settings: Settings, primary: Database) -> ReadRouter:
    """Return a router for the primary and the standbys in the settings, each with a connection pool."""
    read_url = settings.database_read_url
    urls = split_by_hosts(read_url.get_secret_value()) if read_url else []
    standbys = [_database(settings, url) for url in urls]
    return ReadRouter(primary, standbys, settings.database_read_maximum_lag_seconds)


def _rate_limit(settings: Settings) -> "RateLimit | None":
    if settings.rate_limit is None:
        return None
    from sprocket_grpc.interceptors.rate_limit import RateLimit  # noqa: PLC0415  # only for SPROCKET_RATE_LIMIT

    return RateLimit(settings.rate_limit, settings.rate_limit_storage)


@contextmanager
def _instrumentation(settings: Settings) -> Iterator["Instrumentation | None"]:
    """Yield traces and metrics until the block ends, or None if both are off, in which case nothing is imported.

    Raises:
        AddressInUseError: The address for metrics is not available.
    """
    if settings.metrics_listen is None and settings.otlp_endpoint is None:
        yield None
        return
    from sprocket_grpc.server.instrumentation import Instrumentation  # noqa: PLC0415  # takes 0.3 s and 25 MB

    instrumentation = Instrumentation(settings)
    try:
        yield instrumentation
    finally:
        instrumentation.close()
