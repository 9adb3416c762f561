"""A server in the process of the tests that listens for browsers and curl too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.dependencies import ServerDependencies, open_dependencies
from sprocket_grpc.server.grpc_server import create_server
from sprocket_grpc.server.web import create_web_listener
from tests.support.service import Service
from tests.support.web_channel import WebChannel

FACTORIES = "/sprocket.v1.FactoryService"
LOCATIONS = "/sprocket.v1.LocationService"


@dataclass(frozen=True)
class WebService(Service):
    """A running service with its clients.

    Attributes:
        web: The address for HTTP.
        dependencies: What the server is made of.
    """

    web: str
    dependencies: ServerDependencies


@asynccontextmanager
async def running_web_service(
    url: str, settings: Settings | None = None, web_listen: str = "127.0.0.1:0"
) -> AsyncIterator[WebService]:
    """Run a server on free ports until the block ends.

    Args:
        url: The URL of the database.
        settings: The settings; the defaults if None. The addresses are always free ports.
        web_listen: The address for HTTP, with port 0.
    """
    settings = (settings or Settings()).model_copy(update={"listen": "127.0.0.1:0", "web_listen": web_listen})
    async with (
        open_dependencies(settings, url) as dependencies,
        _listening(dependencies) as (address, web),
        grpc.aio.insecure_channel(address) as channel,
    ):
        database, monitor = dependencies.database, dependencies.monitor
        poller, router = dependencies.chart_poller, dependencies.read_router
        yield WebService(address, channel, database, monitor, poller, router, web, dependencies)


@asynccontextmanager
async def _listening(dependencies: ServerDependencies) -> AsyncIterator[tuple[str, str]]:
    """Yield the addresses for gRPC and HTTP."""
    listener = create_server(dependencies)
    web = create_web_listener(dependencies, listener.answers, listener.port)
    assert web
    await dependencies.monitor.check()
    await listener.server.start()
    await web.start()
    try:
        yield f"127.0.0.1:{listener.port}", f"127.0.0.1:{web.port}"
    finally:
        dependencies.chart_poller.stop()
        listener.lifetime.end()
        await listener.server.stop(grace=None)
        await web.stop(0)


@asynccontextmanager
async def service_by(protocol: str, url: str) -> AsyncIterator[Service]:
    """Run a server until the block ends, whose client speaks a protocol of the web listener."""
    async with running_web_service(url) as running:
        channel: Any = WebChannel(running.web, protocol)  # what stubs need of a channel
        yield replace(running, channel=channel)
