"""A database that is cut off from the service, and comes back: no packet arrives, and no connection is closed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from tests.conformance.promises import refuses
from tests.support.cable import Cable, cable_to, only_on_linux
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.service import Service, running_service
from tests.support.waiting import wait_until

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DATABASE_UNAVAILABLE")

POOL_SIZE = 4
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        migrate.upgrade(running.url)
        yield running


@pytest.fixture
async def cable(server: PostgresServer) -> AsyncIterator[Cable]:
    async with cable_to(server.port) as running:
        yield running


@asynccontextmanager
async def service_at_the_end_of(cable: Cable, connect_timeout_seconds: int) -> AsyncIterator[Service]:
    """Run a service that reaches its database through a cable."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{cable.port}/postgres?connect_timeout={connect_timeout_seconds}"
    async with running_service(url, Settings(pool_size=POOL_SIZE)) as running:
        yield running


@pytest.fixture
async def service(cable: Cable) -> AsyncIterator[Service]:
    async with service_at_the_end_of(cable, 2) as running:
        yield running


async def list_locations(service: Service) -> None:
    """Call without a deadline."""
    await service.locations.ListLocations(ListLocationsRequest())


async def fail(service: Service, calls: int) -> None:
    """Make calls at once, and see that all are UNAVAILABLE."""

    async def one() -> None:
        with refuses(*UNAVAILABLE):
            await list_locations(service)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(one() for _ in range(calls)))


async def succeed(service: Service, calls: int) -> None:
    """Make calls at once that all succeed, on as many connections as there may be."""
    await asyncio.gather(*(list_locations(service) for _ in range(calls)))


async def recover(service: Service) -> None:
    """Wait until calls succeed again, and see that health does too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(grpc.aio.AioRpcError):
                await list_locations(service)
                break
            await asyncio.sleep(0.05)
    await succeed(service, 50)
    await service.monitor.check()
    assert service.monitor.problem is None


@only_on_linux
async def test_calls_without_a_deadline_do_not_hang_on_a_database_that_is_cut_off(
    service: Service, cable: Cable
) -> None:
    await succeed(service, 50)
    cable.cut()
    calls = 20 * POOL_SIZE
    await fail(service, calls)  # on connections that are silent
    await fail(service, calls)  # on ones that cannot be made
    await service.monitor.check()
    assert service.monitor.problem == "the database does not answer"
    cable.mend()
    await recover(service)


@only_on_linux
async def test_once_a_connection_could_not_be_made_one_call_tries_and_all_others_fail_at_once(cable: Cable) -> None:
    async with service_at_the_end_of(cable, 60) as service:
        await cable.unplug()
        await fail(service, 1)  # on a connection that broke
        await fail(service, 1)  # on one that could not be made
        await cable.plug_in()
        cable.cut()
        trying = asyncio.create_task(list_locations(service))
        await asyncio.to_thread(wait_until, lambda: service.database._connector._trying == 1)
        await fail(service, 100)
        assert not trying.done()
        cable.mend()
        await trying  # its packets are sent again until they get through
        await recover(service)


async def test_a_database_that_refuses_connections_is_unavailable_at_once_and_used_again_as_soon_as_it_takes_them(
    service: Service, cable: Cable
) -> None:
    await succeed(service, 50)
    await cable.unplug()
    await fail(service, 1)
    await fail(service, 20 * POOL_SIZE)
    await cable.plug_in()
    await recover(service)
