"""A server in the process of the tests, and a client with a real gRPC channel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from sprocket.v1.audit_pb2_grpc import AuditServiceStub
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import open_dependencies
from sprocket_grpc.server.health import HealthMonitor
from sprocket_grpc.services.charts.followers import ChartPoller
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter
from sprocket_grpc.testing.servers import running_server

if TYPE_CHECKING:  # the typed clients are in the stubs only
    from sprocket.v1.audit_pb2_grpc import AuditServiceAsyncStub
    from sprocket.v1.factory_pb2_grpc import FactoryServiceAsyncStub
    from sprocket.v1.location_pb2_grpc import LocationServiceAsyncStub
    from sprocket.v1.sprocket_pb2_grpc import SprocketServiceAsyncStub
    from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceAsyncStub


@dataclass(frozen=True)
class Service:
    """A running service with its clients.

    Attributes:
        address: The address that it listens on.
        channel: A channel to the server.
        database: The database of the server, for direct access.
        monitor: The health monitor.
        chart_poller: The poller for new chart entries.
        read_router: The router of reads to standbys.
    """

    address: str
    channel: grpc.aio.Channel
    database: Database
    monitor: HealthMonitor
    chart_poller: ChartPoller
    read_router: ReadRouter

    @property
    def locations(self) -> "LocationServiceAsyncStub":
        """The client of locations."""
        return LocationServiceStub(self.channel)

    @property
    def sprocket_types(self) -> "SprocketTypeServiceAsyncStub":
        """The client of sprocket types."""
        return SprocketTypeServiceStub(self.channel)

    @property
    def factories(self) -> "FactoryServiceAsyncStub":
        """The client of factories."""
        return FactoryServiceStub(self.channel)

    @property
    def sprockets(self) -> "SprocketServiceAsyncStub":
        """The client of sprockets."""
        return SprocketServiceStub(self.channel)

    @property
    def audit(self) -> "AuditServiceAsyncStub":
        """The client of the audit log."""
        return AuditServiceStub(self.channel)


@asynccontextmanager
async def running_service(
    url: str, settings: Settings | None = None, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Service]:
    """Run a server on a free port until the block ends.

    Args:
        url: The URL of the database.
        settings: The settings; the defaults if None. The address is always a free port.
        credentials: The credentials of the client, for a server with TLS.
    """
    settings = (settings or Settings()).model_copy(update={"listen": "127.0.0.1:0"})
    async with (
        open_dependencies(settings, url) as dependencies,
        running_server(dependencies) as address,
        _connected(address, credentials) as channel,
    ):
        yield Service(
            address,
            channel,
            dependencies.database,
            dependencies.monitor,
            dependencies.chart_poller,
            dependencies.read_router,
        )


def _connected(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
