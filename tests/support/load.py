"""Clients that create sprockets continuously, retry failed calls, and record the results."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.storage import migrate
from tests.support.books import assert_books_agree, query
from tests.support.resources import create_factory, create_sprocket_type
from tests.support.service import running_service
from tests.support.waiting import until

PATIENCE_SECONDS = 60

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Load:
    """Clients that create sprockets in one factory.

    Attributes:
        factory_id: The id of the factory.
        acknowledged: The ids of the sprockets that successful calls returned.
        failures: The number of failed calls, by status code.
        retried: The number of calls that succeeded after a retry.
        longest: The duration of the longest call, in seconds.
        health: The last health status that the server sent; 0 before the first one.
    """

    def __init__(self, address: str, factory_id: str, type_id: str) -> None:
        self._address = address
        self._sprocket = Sprocket(factory_id=factory_id, sprocket_type_id=type_id)
        self._ends = False
        self.factory_id = factory_id
        self.acknowledged: list[str] = []
        self.failures: Counter[grpc.StatusCode] = Counter()
        self.retried = 0
        self.longest = 0.0
        self.health = 0

    async def until_acknowledged(self, more: int) -> None:
        """Wait until `more` further creates have succeeded."""
        enough = len(self.acknowledged) + more
        await self._until(lambda: len(self.acknowledged) >= enough)

    async def until_failures(self, count: int) -> None:
        """Wait until `count` calls have failed in total."""
        await self._until(lambda: self.failures.total() >= count)

    async def until_health(self, health: int) -> None:
        """Wait until the server reports a health status."""
        await self._until(lambda: self.health == health)

    async def _until(self, condition: Any) -> None:
        await until(condition, PATIENCE_SECONDS)

    async def run(self, clients: int) -> None:
        """Run the clients until `stop`; each one retries a call until it succeeds."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            watching = asyncio.create_task(self._watch(channel))
            await asyncio.gather(*(self._client(channel) for _ in range(clients)))
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def stop(self) -> None:
        """Stop the clients after their current sprocket."""
        self._ends = True

    async def _client(self, channel: grpc.aio.Channel) -> None:
        create: Any = SprocketServiceStub(channel).CreateSprocket
        while not self._ends:
            request, failed = CreateSprocketRequest(sprocket=self._sprocket, request_id=str(uuid.uuid4())), False
            while not await self._call(create, request):
                failed = True
                await asyncio.sleep(0.05)
            self.retried += failed

    async def _call(self, create: Any, request: CreateSprocketRequest) -> bool:
        began = time.monotonic()
        try:
            self.acknowledged.append((await create(request)).sprocket.id)
        except grpc.aio.AioRpcError as error:
            self.failures[error.code()] += 1
            return False
        finally:
            self.longest = max(self.longest, time.monotonic() - began)
        return True

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        health: Any = HealthStub(channel)  # its types support the blocking client only
        async for response in health.Watch(HealthCheckRequest()):
            self.health = response.status


async def prepare(url: str) -> tuple[str, str]:
    """Apply migrations to a database, and return the ids of a new factory and a new sprocket type."""
    await asyncio.to_thread(migrate.upgrade, url)
    async with running_service(url) as service:
        return (await create_factory(service)).id, (await create_sprocket_type(service)).id


@asynccontextmanager
async def load_on(address: str, factory_id: str, type_id: str, clients: int = 20) -> AsyncIterator[Load]:
    """Run clients against a server until the block ends, and wait for their last calls."""
    load = Load(address, factory_id, type_id)
    running = asyncio.create_task(load.run(clients))
    try:
        await load.until_acknowledged(50)
        yield load
        load.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await running
    finally:
        running.cancel()


async def assert_nothing_was_lost(url: str, load: Load) -> None:
    """Check that the factory has exactly the acknowledged sprockets: none lost, no duplicates."""
    async with running_service(url) as service:
        rows = await query(service, "SELECT id FROM sprocket WHERE factory_id = :id", id=load.factory_id)
        await assert_books_agree(service)
    assert sorted(str(identifier) for (identifier,) in rows) == sorted(load.acknowledged)
