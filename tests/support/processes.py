"""Servers and clients in separate processes, as in production."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from typing import IO, TYPE_CHECKING

import grpc

from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from tests.support.forked import Command, ForkedProcess

if TYPE_CHECKING:  # a client process starts faster without a server's modules
    from tests.support.service import Service

PATIENCE_SECONDS = 30
_ANNOUNCEMENT = " listens on "


@dataclass(frozen=True)
class ServerProcess:
    """A running server.

    Attributes:
        address: The address that it listens on.
        process: The process.
    """

    address: str
    process: ForkedProcess

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)


@contextmanager
def server_process(url: str, **settings: str) -> Iterator[ServerProcess]:
    """Run `sprocket-grpc serve` on a free port until the block ends, and check that SIGTERM ends it with status 0.

    Args:
        url: The URL of a migrated database.
        settings: Other settings: `pool_size="1"` sets SPROCKET_POOL_SIZE.
    """
    variables = _environment(database_url=url, listen="127.0.0.1:0", **settings)
    with ForkedProcess(Command(("serve",), variables)) as process:
        try:
            yield ServerProcess(_announced_address(process.stdout), process)
            if process.poll() != -signal.SIGKILL:  # unless the test killed it
                process.terminate()
                assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()


@asynccontextmanager
async def connected_to(server: ServerProcess, service: "Service") -> AsyncIterator["Service"]:
    """Yield a client of a server process that has the same database as `service`."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield replace(service, address=server.address, channel=channel)


def create_sprockets(start: Barrier, address: str, factory_id: str, type_id: str, count: int) -> None:
    """Create sprockets, ten at a time, once all client processes are ready: the work of one client process."""
    request = CreateSprocketRequest(sprocket=Sprocket(factory_id=factory_id, sprocket_type_id=type_id))
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(10) as executor:
        stub = SprocketServiceStub(channel)
        start.wait(PATIENCE_SECONDS)
        for call in [executor.submit(stub.CreateSprocket, request) for _ in range(count)]:
            call.result()


def _environment(**settings: str) -> dict[str, str]:
    """Return the environment of this process with the given settings, without its SPROCKET_* variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPROCKET_")}
    return inherited | {f"SPROCKET_{name.upper()}": value for name, value in settings.items()}


def _announced_address(output: IO[str]) -> str:
    for line in output:
        if _ANNOUNCEMENT in line:
            return line.partition(_ANNOUNCEMENT)[2].partition(",")[0]
    raise AssertionError("the server ended before it printed its address")
