"""A database that hangs, without a lost connection: it is reported soon, and so is its return."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server import health as health_module
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres import conversation as conversation_module
from sprocket_grpc.storage.postgres.statements import Statement, request
from sprocket_grpc.telemetry.background import Background
from tests.support.errors import fails
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.resources import create_location
from tests.support.service import Service, running_service
from tests.support.stopping import backends_of, stopped
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
CANCEL_SECONDS = 5
"""How long psycopg waits for PostgreSQL to answer a cancellation, before it closes the connection."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        migrate.upgrade(running.url)
        yield running


@pytest.fixture
async def service(postgresql: PostgresServer) -> AsyncIterator[Service]:
    async with running_service(postgresql.url) as running:
        yield running


def everything_of(postgresql: PostgresServer) -> list[int]:
    """Return the pids of the postmaster and the backends."""
    assert postgresql.process
    return [postgresql.process.pid, *backends_of(postgresql)]


@pytest.mark.parametrize("pids", [everything_of, backends_of], ids=["everything", "backends"])
async def test_a_check_does_not_wait_until_a_hung_database_answers_its_cancellation(
    postgresql: PostgresServer,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    pids: Callable[[PostgresServer], list[int]],
) -> None:
    monkeypatch.setattr(health_module, "ANSWER_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(health_module, "CONFIRM_SECONDS", 0)
    with stopped(*pids(postgresql)):
        began = time.monotonic()
        await service.monitor.check()
        assert service.monitor.problem == "the database does not answer"
        assert time.monotonic() - began < CANCEL_SECONDS
    monkeypatch.undo()
    await service.monitor.check()
    assert service.monitor.problem is None


async def test_a_check_is_given_up_and_the_next_one_uses_another_connection(
    postgresql: PostgresServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "ANSWER_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(health_module, "CONFIRM_SECONDS", 0)
    monkeypatch.setattr(health_module, "_GIVE_UP_SECONDS", 0.2)
    with stopped(*backends_of(postgresql)):
        await service.monitor.check()
        assert service.monitor.problem
        async with asyncio.timeout(PATIENCE_SECONDS):
            while service.monitor.problem:  # the postmaster opens new connections
                await service.monitor.check()


async def test_a_database_that_hangs_is_left_and_no_call_waits_for_it(
    postgresql: PostgresServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await create_location(service)
    monkeypatch.setattr(health_module, "ANSWER_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(health_module, "CONFIRM_SECONDS", 0.1)
    monkeypatch.setattr(conversation_module, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(conversation_module, "_CANCEL_SECONDS", 10 * PATIENCE_SECONDS)
    pool = service.database.pool
    for conversation in [await pool.take() for _ in range(4)]:
        pool.give_back(conversation)
    with stopped(*everything_of(postgresql)):
        calls = [asyncio.create_task(create_location(service)) for _ in range(3)]
        abandoned = service.locations.GetLocation(GetLocationRequest(id=created.id))
        await until(lambda: pool.used == len(calls) + 1)
        abandoned.cancel()
        await until(lambda: bool(pool._settling))  # its connection, until its cancellation is answered
        await service.monitor.check()
        for call in calls:
            with fails(grpc.StatusCode.UNAVAILABLE):
                await call
        await until(lambda: pool.used == 0)
    monkeypatch.undo()
    await service.monitor.check()
    assert service.monitor.problem is None
    await create_location(service)


async def test_a_connection_that_is_left_before_its_settling_began_is_not_lost_to_the_pool(service: Service) -> None:
    pool = service.database.pool
    conversation = await pool.take()
    asking = asyncio.create_task(conversation.ask([request(Statement(text("SELECT pg_sleep(60)")))], 60))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    used = pool.used
    pool.give_back(conversation)
    pool.leave()
    await until(lambda: pool.used == used - 1)


def test_a_hung_database_is_reported_within_seven_seconds_by_default() -> None:
    longest = Settings().health_interval_seconds + health_module.ANSWER_TIMEOUT_SECONDS + health_module.CONFIRM_SECONDS
    assert longest <= 7


async def test_health_comes_back_with_the_database(postgresql: PostgresServer, service: Service) -> None:
    watching = asyncio.create_task(Background().keep(service.monitor.task(interval_seconds=0.1)))
    try:
        with stopped(*everything_of(postgresql)):
            await until(lambda: service.monitor.problem is not None)
        await create_location(service)
        await until(lambda: service.monitor.problem is None)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_a_problem_is_checked_more_often_than_health(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CONFIRM_SECONDS", 0)
    checks = 0

    async def find(_: object) -> str:
        nonlocal checks
        checks += 1
        return "gone"

    monkeypatch.setattr(health_module, "find_problem_of", find)
    await service.monitor.check()
    watching = asyncio.create_task(Background().keep(service.monitor.task(interval_seconds=3600)))
    try:
        await until(lambda: checks >= 5)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
