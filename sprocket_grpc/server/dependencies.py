"""What a server works with: opened as the settings say, and closed in the end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprocket_grpc.auth.authentication import Authentication, create_authentication
from sprocket_grpc.config.database_url import split_by_hosts
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.interceptors.rate_limit import RateLimit
from sprocket_grpc.server.cleanup import purge_expired_requests
from sprocket_grpc.server.contract import SERVICES
from sprocket_grpc.server.health import HealthMonitor
from sprocket_grpc.services.charts.followers import ChartPoller
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter

if TYPE_CHECKING:
    from sprocket_grpc.server.instrumentation import Instrumentation


@dataclass(frozen=True)
class ServerDependencies:
    """What a server works with.

    Attributes:
        settings: The settings.
        database: Where the resources are.
        read_router: Where what only reads may read.
        monitor: What knows the server's health.
        chart_poller: What notices new entries of charts.
        authentication: What knows callers, if they have to say who they are.
        rate_limit: What counts their calls, if those are limited.
        telemetry: What makes traces and metrics, if they have somewhere to go.
    """

    settings: Settings
    database: Database
    read_router: ReadRouter
    monitor: HealthMonitor
    chart_poller: ChartPoller
    authentication: Authentication | None
    rate_limit: RateLimit | None
    telemetry: "Instrumentation | None"

    def background(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Return what has to run beside the server, for ever."""
        yield self.monitor.watch(self.settings.health_interval_seconds)
        yield purge_expired_requests(self.database, self.settings.request_id_hours)
        if self.authentication:
            yield self.authentication.keep_up()
        if self.telemetry:
            yield self.telemetry.event_loop_lag.measure()


@asynccontextmanager
async def open_dependencies(settings: Settings, url: str) -> AsyncIterator[ServerDependencies]:
    """Open what a server works with, until the block ends.

    Args:
        settings: The settings.
        url: The database.

    Raises:
        AddressInUseError: The address for metrics cannot be had.
    """
    database = _database(settings, url)
    # Its own connection, so that it does not wait behind requests: a busy server is a healthy one.
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
    """Make what a server works with on a database that is open and stays so, until the block ends.

    Args:
        settings: The settings.
        database: Where the resources are.
        health_database: Other connections to it, or the same if it does not matter that health waits behind requests.

    Raises:
        AddressInUseError: The address for metrics cannot be had.
    """
    read_router = _read_router(settings, database)
    monitor = HealthMonitor(health_database, SERVICES)
    # Streams take it for an outage when nothing was looked for while they waited.
    chart_poller = ChartPoller(database, min(settings.follow_tick_seconds, settings.follow_progress_seconds / 2))
    rate_limit = RateLimit(settings.rate_limit, settings.rate_limit_storage) if settings.rate_limit else None
    watching = asyncio.create_task(read_router.watch(health_database))
    try:
        with _telemetry(settings) as telemetry:
            if telemetry:
                telemetry.observe(read_router, chart_poller, monitor)
            authentication = create_authentication(settings, database)
            yield ServerDependencies(
                settings, database, read_router, monitor, chart_poller, authentication, rate_limit, telemetry
            )
    finally:
        watching.cancel()
        await read_router.close()
        if rate_limit:
            await rate_limit.close()


def _database(settings: Settings, url: str) -> Database:
    """Return the connections to a database that requests use."""
    return Database(
        url,
        pool_size=settings.pool_size,
        pool_timeout_seconds=settings.pool_timeout_seconds,
        prepared_statements=settings.database_prepared_statements,
    )


def _read_router(settings: Settings, primary: Database) -> ReadRouter:
    """Return a primary with the standbys that the settings name, each with connections of its own."""
    named = settings.database_read_url
    urls = split_by_hosts(named.get_secret_value()) if named else []
    standbys = [_database(settings, url) for url in urls]
    return ReadRouter(primary, standbys, settings.database_read_maximum_lag_seconds)


@contextmanager
def _telemetry(settings: Settings) -> Iterator["Instrumentation | None"]:
    """Turn traces and metrics on until the block ends, if they have somewhere to go. What is off is not even imported.

    Raises:
        AddressInUseError: The address for metrics cannot be had.
    """
    if settings.metrics_listen is None and settings.otlp_endpoint is None:
        yield None
        return
    from sprocket_grpc.server.instrumentation import Instrumentation  # noqa: PLC0415  # 0.3 s and 25 MB, which only some need

    telemetry = Instrumentation(settings)
    try:
        yield telemetry
    finally:
        telemetry.close()
