"""The service works with PgBouncer in transaction mode, with two connections and without prepared statements."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import grpc
import pytest

from sprocket.v1.location_pb2 import CreateLocationRequest, GetLocationRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.conformance.promises import refuses
from tests.conformance.rpcs import METHODS, call, path, valid_requests
from tests.support.auditing import call_as, entries
from tests.support.books import assert_books_agree, numbers_of
from tests.support.following import ChartFollower
from tests.support.load import assert_nothing_was_lost, load_on, prepare
from tests.support.pooler import Pooler, needs_pgbouncer, new_pooler
from tests.support.postgresql import PATIENCE_SECONDS, PostgresServer, new_postgres
from tests.support.processes import server_process
from tests.support.resources import create_location, create_sprocket, location
from tests.support.service import Service, running_service

pytestmark = [pytest.mark.slow, needs_pgbouncer]

TIMES = 8
"""More than the number of executions after which psycopg prepares a statement on a connection."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    with new_pooler(server) as running:
        migrate.upgrade(running.url)
        yield running


@pytest.fixture
async def service(pooler: Pooler) -> AsyncIterator[Service]:
    async with running_service(pooler.url, Settings(database_prepared_statements=False)) as running:
        yield running


async def test_every_rpc_works_repeatedly(service: Service) -> None:
    for _ in range(TIMES):
        requests = await valid_requests(service)
        for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
            await call(service, method, requests[path(method)])
    await assert_books_agree(service)


async def test_concurrent_writes_are_logged_with_their_own_request_ids(service: Service) -> None:
    ids = [f"call-{n}" for n in range(100)]
    create = "/sprocket.v1.LocationService/CreateLocation"
    names = {each: CreateLocationRequest(location=location(display_name=each)) for each in ids}
    await asyncio.gather(*(call_as(service, each, create, request) for each, request in names.items()))
    logged = await entries(service, 'request_id = "call-*"')
    assert {entry.request_id: entry.after["display_name"] for entry in logged} == {each: each for each in ids}


async def test_charts_can_be_followed(service: Service) -> None:
    first = await create_sprocket(service)
    keys = {"factory_id": first.factory_id, "sprocket_type_id": first.sprocket_type_id}
    async with ChartFollower(service.channel, first.factory_id) as stream:
        await stream.until_entries(2)
        await asyncio.gather(*(create_sprocket(service, **keys) for _ in range(30)))
        await stream.until_entries(32)
        assert stream.numbers == await numbers_of(service, first.factory_id)


def test_migrations_and_sample_data_work_through_the_pooler(server: PostgresServer, pooler: Pooler) -> None:
    server.query("CREATE DATABASE migrated")
    url = pooler.url.replace("/postgres", "/migrated")
    migrate.upgrade(url)
    migrate.check(url)
    with create_plain_engine(url).begin() as connection:
        seed(connection)
    migrate.downgrade(url, "base")
    migrate.upgrade(url)


async def test_calls_fail_without_waiting_while_the_database_is_unavailable(
    server: PostgresServer, service: Service
) -> None:
    identifier = (await create_location(service)).id
    await asyncio.to_thread(server.kill)
    try:
        for _ in range(3):
            with refuses(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DATABASE_UNAVAILABLE"):
                await service.locations.GetLocation(GetLocationRequest(id=identifier))
    finally:
        await asyncio.to_thread(server.start)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(grpc.aio.AioRpcError):
                await service.locations.GetLocation(GetLocationRequest(id=identifier))
                break


async def test_a_crash_of_the_pooler_under_load_loses_no_acknowledged_write(
    server: PostgresServer, pooler: Pooler
) -> None:
    made = await prepare(server.url)
    settings = {"database_prepared_statements": "false", "log_level": "ERROR"}
    with server_process(pooler.url, **settings) as process:
        async with load_on(process.address, *made) as load:
            await asyncio.to_thread(pooler.kill)
            await load.until_failures(50)
            await asyncio.to_thread(pooler.start)
            await load.until_acknowledged(100)
        assert set(load.failures) == {grpc.StatusCode.UNAVAILABLE}
    await assert_nothing_was_lost(server.url, load)
