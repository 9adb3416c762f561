"""A network that drops all packets to the database, or refuses connections, and then recovers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres import connector
from tests.conformance.promises import refuses
from tests.support.cable import Cable, cable_to, only_on_linux
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.service import Service, running_service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

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
async def service_behind(cable: Cable, connect_timeout_seconds: int) -> AsyncIterator[Service]:
    """Run a service that reaches its database through a cable."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{cable.port}/postgres?connect_timeout={connect_timeout_seconds}"
    async with running_service(url, Settings(pool_size=POOL_SIZE)) as running:
        yield running


@pytest.fixture
async def service(cable: Cable) -> AsyncIterator[Service]:
    async with service_behind(cable, 2) as running:
        yield running


async def list_locations(service: Service) -> None:
    """List locations, without a deadline."""
    await service.locations.ListLocations(ListLocationsRequest())


async def fail(service: Service, calls: int) -> None:
    """Make concurrent calls, and check that all fail with UNAVAILABLE."""

    async def one() -> None:
        with refuses(*UNAVAILABLE):
            await list_locations(service)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(one() for _ in range(calls)))


async def succeed(service: Service, calls: int) -> None:
    """Make concurrent calls, and check that all succeed; they open all connections of the pool."""
    await asyncio.gather(*(list_locations(service) for _ in range(calls)))


async def recover(service: Service) -> None:
    """Wait until calls succeed again, and check that the health check succeeds too."""
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
async def test_calls_without_a_deadline_fail_if_the_network_drops_all_packets(service: Service, cable: Cable) -> None:
    await succeed(service, 50)
    cable.cut()
    calls = 20 * POOL_SIZE
    await fail(service, calls)  # on open connections that do not answer
    await fail(service, calls)  # on connections that cannot be opened
    await service.monitor.check()
    assert service.monitor.problem == "the database does not answer"
    cable.mend()
    await recover(service)


@only_on_linux
async def test_after_a_failed_connection_attempt_one_call_tries_and_all_others_fail_soon(cable: Cable) -> None:
    async with service_behind(cable, 60) as service:
        await cable.unplug()
        await fail(service, 1)  # on a broken connection
        await fail(service, 1)  # on a connection that cannot be opened
        await cable.plug_in()
        cable.cut()
        trying = asyncio.create_task(list_locations(service))
        await asyncio.to_thread(wait_until, lambda: service.database.pool._connector._trying == 1)
        await fail(service, 100)
        assert not trying.done()
        cable.mend()
        await trying  # TCP retransmits its packets until they arrive
        await recover(service)


async def test_calls_fail_immediately_while_connections_are_refused_and_all_succeed_afterwards(
    service: Service, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "_PATIENCE_SECONDS", PATIENCE_SECONDS)  # this machine may be busy
    await succeed(service, 50)
    await cable.unplug()
    await fail(service, 1)
    await fail(service, 20 * POOL_SIZE)
    await cable.plug_in()
    await succeed(service, 50)  # the first one tries, and the others wait for it
    await recover(service)
