"""A server on a free port of this machine, in the event loop that runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sprocket_grpc.server.dependencies import ServerDependencies
from sprocket_grpc.server.grpc_server import create_server


@asynccontextmanager
async def running_server(dependencies: ServerDependencies) -> AsyncIterator[str]:
    """Run a server until the block ends, cut off what it is doing then, and yield its address.

    Args:
        dependencies: What it works with. Its settings must name a free port, or port 0.
    """
    server, port = create_server(dependencies)
    await dependencies.monitor.check()
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        dependencies.chart_poller.stop()
        await server.stop(grace=None)
