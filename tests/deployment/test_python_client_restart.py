"""`sprocket.client` while its server is killed and started again: nothing is lost, and nothing happens twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from sprocket.v1.factory_pb2 import CreateFactoryRequest, Factory, GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.deployment.python_client import AnyClient, connect
from tests.deployment.test_python_client import create, set_goal
from tests.support.command_line import serving
from tests.support.following import numbers
from tests.support.ports import free_address
from tests.support.resources import location
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("kind", ["threads", "asyncio"])]

PATIENCE_SECONDS = 100
CREATORS = 4


class Restartable:
    """A server that can be killed with SIGKILL and started again at the same address."""

    def __init__(self, url: str) -> None:
        self.address = free_address()
        self._url = url
        self._running = self._serving()

    @contextmanager
    def _serving(self) -> Iterator[None]:
        with serving(database_url=self._url, listen=self.address):
            yield

    async def start(self) -> None:
        self._running = self._serving()
        await asyncio.to_thread(self._running.__enter__)

    async def kill(self) -> None:
        await asyncio.to_thread(self._running.__exit__, None, None, None)


@asynccontextmanager
async def restartable(url: str) -> AsyncIterator[Restartable]:
    """Run a server until the block ends."""
    server = Restartable(url)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


async def test_writes_across_kills_of_the_server_happen_once(kind: str, database_url: str) -> None:
    created: list[str] = []
    stop = asyncio.Event()

    async def keep_creating(client: AnyClient) -> None:
        while not stop.is_set():
            created.append((await create(client)).id)

    async with (
        restartable(database_url) as server,
        connect(kind, server.address, timeout_seconds=PATIENCE_SECONDS) as client,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        async with asyncio.TaskGroup() as creators:
            for _ in range(CREATORS):
                creators.create_task(keep_creating(client))
            for _ in range(2):
                before = len(created)
                await until(lambda before=before: len(created) >= before + 50)  # type: ignore[misc]  # a default
                await server.kill()
                await server.start()
            stop.set()
        request = ListLocationsRequest(page_size=1000)
        pages = client.pages(LocationServiceStub(client.channel).ListLocations, request)
        listed = [each.id async for page in pages for each in page.locations]
    assert sorted(listed) == sorted(created)


async def test_a_followed_chart_across_kills_of_the_server_has_each_entry_once(kind: str, database_url: str) -> None:
    async with (
        restartable(database_url) as server,
        connect(kind, server.address, timeout_seconds=PATIENCE_SECONDS) as client,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        factories, locations = FactoryServiceStub(client.channel), LocationServiceStub(client.channel)
        place = (await client.call(locations.CreateLocation, CreateLocationRequest(location=location()))).location
        factory = Factory(display_name="Works", location_id=place.id, sprocket_production_goal=1)
        made = (await client.call(factories.CreateFactory, CreateFactoryRequest(factory=factory))).factory
        goals: list[int] = []
        request = GetFactoryChartRequest(factory_id=made.id, follow=True)
        async for response in client.follow(factories.GetFactoryChart, request):
            goals += [goal for goal, _ in numbers(response.chart)]
            if goals == [1, 2, 3]:
                break
            if response.chart.time_micros:
                await set_goal(client, made.id, goals[-1] + 1)
                await server.kill()
                await server.start()
    assert goals == [1, 2, 3]
