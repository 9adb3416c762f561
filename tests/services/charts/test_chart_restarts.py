"""Followers of a busy chart while one server is killed and restarted, and while clients change to another server.

All the time the chart is packed into pages of ten entries, up to the newest, and entries that all followers have
received expire.
"""

import asyncio
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import FactoryChart, GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.books import query
from tests.support.charts import expire, pack
from tests.support.processes import PATIENCE_SECONDS, ServerProcess, server_process
from tests.support.resources import create_sprocket
from tests.support.service import Service
from tests.support.waiting import until

pytestmark = pytest.mark.slow

WRITERS, FOLLOWERS, SPROCKETS_OF_WRITER = 50, 20, 12
ENTRIES = 2 + WRITERS * SPROCKETS_OF_WRITER

PAGE_ENTRIES = 10
KEPT_ENTRIES = 100

_PAGES = text("SELECT wire FROM chart_page WHERE factory_id = CAST(:factory_id AS uuid) ORDER BY last_sequence")
_TABLE = text("""
    SELECT time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry
    WHERE factory_id = CAST(:factory_id AS uuid) ORDER BY sequence
""")


@dataclass
class Connection:
    """The channel to the server that all clients currently use."""

    channel: grpc.aio.Channel | None = None

    async def use(self, server: ServerProcess) -> None:
        """Move all clients to a server."""
        former, self.channel = self.channel, grpc.aio.insecure_channel(server.address)
        if former:
            await former.close()


@dataclass
class Follower:
    """A client that follows a chart across restarts of servers.

    Attributes:
        factory_id: The id of the factory.
        chart: The received entries, in the order of their arrival.
        streams: The number of streams that it has opened.
    """

    factory_id: str
    chart: FactoryChart = field(default_factory=FactoryChart)
    streams: int = 0

    async def run(self, connection: Connection) -> None:
        """Follow the chart until all entries have arrived."""
        request = GetFactoryChartRequest(factory_id=self.factory_id, follow=True)
        while len(self.chart.time_micros) < ENTRIES:
            self.streams += 1
            try:
                await self._read(connection, request)
            except (grpc.aio.AioRpcError, asyncio.CancelledError, grpc.aio.UsageError):
                await asyncio.sleep(0.02)

    async def _read(self, connection: Connection, request: GetFactoryChartRequest) -> None:
        assert connection.channel
        async for response in FactoryServiceStub(connection.channel).GetFactoryChart(request):
            self.chart.MergeFrom(response.chart)  # appends to the columns
            request.resume_token = response.resume_token
            if len(self.chart.time_micros) >= ENTRIES:
                return


async def write(connection: Connection, sprocket: Sprocket) -> None:
    """Create sprockets one after the other, each with retries until it succeeds, and each exactly once."""
    for _ in range(SPROCKETS_OF_WRITER):
        request = CreateSprocketRequest(sprocket=sprocket, request_id=str(uuid.uuid4()))
        await until(partial(created, connection, request))


async def created(connection: Connection, request: CreateSprocketRequest) -> bool:
    """Try to create a sprocket, and return whether it succeeded."""
    assert connection.channel
    try:
        await SprocketServiceStub(connection.channel).CreateSprocket(request, timeout=PATIENCE_SECONDS)
    except (grpc.aio.AioRpcError, asyncio.CancelledError, grpc.aio.UsageError):
        return False
    return True


def stored(url: str, factory_id: str) -> FactoryChart:
    """Return the chart in the tables."""
    chart = FactoryChart()
    with create_plain_engine(url).connect() as connection:
        for wire in connection.scalars(_PAGES, {"factory_id": factory_id}):
            chart.MergeFromString(wire)
        for time, goal, actual in connection.execute(_TABLE, {"factory_id": factory_id}):
            chart.time_micros.append(time)
            chart.sprocket_production_goal.append(goal)
            chart.sprocket_production_actual.append(actual)
    return chart


async def pack_always(service: Service, factory_id: str) -> None:
    """Pack the chart whenever it has enough rows."""
    while True:
        await pack(service, factory_id, PAGE_ENTRIES)
        await asyncio.sleep(0.01)


async def expire_always(service: Service, followers: list[Follower]) -> None:
    """Let entries expire that all followers have received, but for the newest hundred."""
    while True:
        times = min((each.chart.time_micros for each in followers), key=len)
        if len(times) > KEPT_ENTRIES:
            await expire(service, followers[0].factory_id, times[-KEPT_ENTRIES], most=PAGE_ENTRIES)
        await asyncio.sleep(0.01)


async def has_expired(service: Service) -> bool:
    return bool(await query(service, "SELECT FROM chart_start"))


async def arrived(followers: list[Follower], entries: int) -> None:
    """Wait until one of the followers has received `entries` entries."""
    await until(lambda: max(len(each.chart.time_micros) for each in followers) >= entries)


async def test_followers_get_the_complete_chart_through_a_crash_a_restart_and_a_change_of_server(
    service: Service, database_url: str
) -> None:
    first = await create_sprocket(service)
    sprocket = Sprocket(factory_id=first.factory_id, sprocket_type_id=first.sprocket_type_id)
    connection = Connection()
    followers = [Follower(first.factory_id) for _ in range(FOLLOWERS)]
    async with asyncio.timeout(3 * PATIENCE_SECONDS), AsyncExitStack() as stack:
        killed = await started(stack, database_url)
        other = await started(stack, database_url)
        await connection.use(killed)
        upkeep = [
            asyncio.create_task(pack_always(service, first.factory_id)),
            asyncio.create_task(expire_always(service, followers)),
        ]
        work = [asyncio.create_task(write(connection, sprocket)) for _ in range(WRITERS)]
        work += [asyncio.create_task(each.run(connection)) for each in followers]
        await arrived(followers, ENTRIES // 3)
        await until(partial(has_expired, service))
        killed.kill()
        await connection.use(await started(stack, database_url))
        await arrived(followers, 2 * ENTRIES // 3)
        await connection.use(other)
        await asyncio.gather(*work)
        for task in upkeep:
            task.cancel()
        await asyncio.wait(upkeep)
    [(pages,)] = await query(service, "SELECT count(*) FROM chart_page")
    assert pages >= KEPT_ENTRIES // PAGE_ENTRIES - 1
    complete = followers[0].chart
    assert list(complete.sprocket_production_actual) == list(range(ENTRIES))
    assert [each.chart == complete for each in followers] == [True] * FOLLOWERS
    kept = stored(database_url, first.factory_id)
    newest = slice(-len(kept.time_micros), None)
    assert kept == FactoryChart(
        time_micros=complete.time_micros[newest],
        sprocket_production_goal=complete.sprocket_production_goal[newest],
        sprocket_production_actual=complete.sprocket_production_actual[newest],
    )
    assert all(each.streams >= 3 for each in followers)


async def started(stack: AsyncExitStack, url: str) -> ServerProcess:
    """Start a server without blocking the event loop of the clients."""
    context = server_process(url, follow_tick_seconds="0.02")
    server = await asyncio.to_thread(context.__enter__)
    stack.push(context.__exit__)
    return server
