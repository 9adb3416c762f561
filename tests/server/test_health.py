"""The health service: SERVING only while the database answers and has the schema of this version."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import make_url

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.server import health as health_module
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.tables import SCHEMA_REVISION
from sprocket_grpc.telemetry.background import Background
from sprocket_grpc.testing.postgres import execute
from tests.support.errors import fails
from tests.support.locks import open_transaction
from tests.support.resources import CASES, create_location
from tests.support.service import Service, running_service
from tests.support.unread import unread_call

SERVICES = [f"sprocket.v1.{case.kind}Service" for case in CASES]
NAMES = ["", "readiness", *SERVICES]
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture(autouse=True)
def _confirmed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CONFIRM_SECONDS", 0)


def health(service: Service) -> Any:  # typed for blocking calls only
    return HealthStub(service.channel)


async def statuses(service: Service, names: list[str] = NAMES) -> set[int]:
    """Check every name, and return the distinct statuses."""
    requests = [HealthCheckRequest(service=name) for name in names]
    return {response.status for response in await asyncio.gather(*map(health(service).Check, requests))}


@contextlib.asynccontextmanager
async def watch(service: Service, names: list[str]) -> AsyncIterator[list[Any]]:
    """Watch several names until the block ends."""
    calls = [health(service).Watch(HealthCheckRequest(service=name)) for name in names]
    try:
        yield calls
    finally:
        for call in calls:
            call.cancel()


async def next_statuses(calls: list[Any]) -> list[int]:
    """Return the next status of every watch."""
    return [(await call.read()).status for call in calls]


@contextlib.contextmanager
def closed_database(postgres: str, url: str) -> Iterator[None]:
    """Disconnect all clients of a database and refuse new connections until the block ends."""
    name = make_url(url).database
    execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        users = f"pg_stat_activity WHERE datname = '{name}'"
        execute(postgres, f"SELECT pg_terminate_backend(pid) FROM {users}")  # noqa: S608  # a constant name
        yield
    finally:
        execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def set_revision(url: str, revision: str) -> None:
    execute(url, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608  # a constant


# Check and Watch.


async def test_the_server_and_each_of_its_services_are_serving(service: Service) -> None:
    assert await statuses(service) == {SERVING}
    async with watch(service, NAMES) as calls:
        assert await next_statuses(calls) == [SERVING] * len(NAMES)


async def test_an_unknown_service_is_reported_as_unknown(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health(service).Check(HealthCheckRequest(service="sprocket.v1.NoService"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    async with watch(service, ["sprocket.v1.NoService"]) as calls:
        assert await next_statuses(calls) == [SERVICE_UNKNOWN]


# The schema.


async def test_a_server_waits_for_its_schema_and_serves_without_a_restart(empty_database_url: str) -> None:
    async with running_service(empty_database_url) as service, watch(service, NAMES) as calls:
        assert await next_statuses(calls) == [NOT_SERVING] * len(NAMES)
        assert "`sprocket-grpc migrate`" in str(service.monitor.problem)
        with fails(grpc.StatusCode.UNAVAILABLE):
            await service.locations.ListLocations(ListLocationsRequest())
        await asyncio.to_thread(migrate.upgrade, empty_database_url)
        await service.monitor.check()
        assert await next_statuses(calls) == [SERVING] * len(NAMES)
        assert await statuses(service) == {SERVING}
        assert service.monitor.problem is None
        await create_location(service)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE alembic_version SET version_num = '0000'", "DELETE FROM alembic_version", "DROP TABLE alembic_version"],
    ids=["an older revision", "no revision", "no table of revisions"],
)
async def test_with_an_outdated_schema_the_server_is_not_serving(
    service: Service, database_url: str, statement: str
) -> None:
    execute(database_url, statement)
    await service.monitor.check()
    assert await statuses(service) == {NOT_SERVING}
    assert SCHEMA_REVISION in str(service.monitor.problem)


async def test_an_older_server_serves_on_a_newer_schema(service: Service, database_url: str) -> None:
    set_revision(database_url, "9999")
    await service.monitor.check()
    assert await statuses(service) == {SERVING}


# The database.


async def test_an_unavailable_database_is_reported_and_used_again_when_it_is_back(
    service: Service, database_url: str, postgres: str
) -> None:
    created = await create_location(service)
    async with watch(service, NAMES) as calls:
        assert await next_statuses(calls) == [SERVING] * len(NAMES)
        with closed_database(postgres, database_url):
            for _ in range(2):  # on a broken connection, and on one that is refused
                with fails(grpc.StatusCode.UNAVAILABLE) as failure:
                    await service.locations.ListLocations(ListLocationsRequest())
                assert failure.info.reason == "ERROR_REASON_DATABASE_UNAVAILABLE"
            await service.monitor.check()
            assert await next_statuses(calls) == [NOT_SERVING] * len(NAMES)
            assert await statuses(service) == {NOT_SERVING}
        assert await statuses(service, ["liveness"]) == {SERVING}  # a restart would not help
        await service.monitor.check()
        assert await next_statuses(calls) == [SERVING] * len(NAMES)
        assert list((await service.locations.ListLocations(ListLocationsRequest())).locations) == [created]


async def test_connections_that_were_lost_while_idle_are_replaced_without_a_failed_call(
    service: Service, database_url: str, postgres: str
) -> None:

    async def use_many_connections() -> None:
        await asyncio.gather(*(service.locations.ListLocations(ListLocationsRequest()) for _ in range(10)))

    await use_many_connections()
    with closed_database(postgres, database_url):
        pass
    await use_many_connections()  # without a health check in between


async def test_with_a_database_that_hangs_the_server_is_not_serving(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "ANSWER_TIMEOUT_SECONDS", 0.05)
    async with open_transaction(database_url, "LOCK TABLE alembic_version"):
        await service.monitor.check()
        assert await statuses(service) == {NOT_SERVING}
    monkeypatch.undo()
    await service.monitor.check()
    assert await statuses(service) == {SERVING}


async def test_the_monitor_checks_at_intervals(service: Service, database_url: str) -> None:
    async with watch(service, [""]) as calls:
        assert await next_statuses(calls) == [SERVING]
        watching = asyncio.create_task(Background().keep(service.monitor.task(interval_seconds=0.01)))
        set_revision(database_url, "0000")
        assert await next_statuses(calls) == [NOT_SERVING]
        set_revision(database_url, SCHEMA_REVISION)
        assert await next_statuses(calls) == [SERVING]
        watching.cancel()


# Flapping.


def answers(monkeypatch: pytest.MonkeyPatch, *problems: str | None) -> None:
    """Make the health check return these problems, one after the other."""
    left = iter(problems)

    async def answer(_: object) -> str | None:
        return next(left)

    monkeypatch.setattr(health_module, "find_problem_of", answer)


@pytest.mark.parametrize("steady", [None, "gone"])
async def test_a_single_different_result_does_not_change_the_status(
    service: Service, monkeypatch: pytest.MonkeyPatch, steady: str | None
) -> None:
    other = None if steady else "gone"
    answers(monkeypatch, steady, steady, *[other, steady] * 3)
    await service.monitor.check()
    async with watch(service, [""]) as [call]:
        before = (await call.read()).status
        assert before == (NOT_SERVING if steady else SERVING)
        for _ in range(3):
            await service.monitor.check()
            assert await statuses(service) == {before}
        service.monitor.servicer.end_watches()
        assert [response async for response in ended(call)] == []


async def ended(call: Any) -> AsyncIterator[Any]:
    """Read a watch until the server ends it."""
    try:
        while True:
            yield await call.read()
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # to distinguish it from a normal end


# Shutdown.


async def test_a_shutdown_is_reported_to_watches_and_stays_reported(service: Service) -> None:
    async with watch(service, NAMES) as calls:
        assert await next_statuses(calls) == [SERVING] * len(NAMES)
        service.monitor.drain()
        assert await next_statuses(calls) == [NOT_SERVING] * len(NAMES)
        await service.monitor.check()  # the database is available
        assert await statuses(service) == {NOT_SERVING}


async def test_a_watch_whose_client_does_not_read_does_not_block_status_changes(service: Service) -> None:
    with unread_call(service.address, "/grpc.health.v1.Health/Watch"):
        await asyncio.sleep(0.5)  # until the server is blocked by the client
        service.monitor.drain()
        assert await statuses(service) == {NOT_SERVING}


async def test_an_unexpected_error_of_the_database_is_a_problem_until_the_next_successful_check(
    service: Service, database_url: str
) -> None:
    execute(database_url, "ALTER TABLE alembic_version RENAME TO elsewhere")
    execute(database_url, "CREATE VIEW alembic_version AS SELECT (1 / 0)::text AS version_num")
    await service.monitor.check()
    assert (
        service.monitor.problem
        == "the database rejects the health check: SQLSTATE 22012: its message can quote a value"
    )
    assert await statuses(service) == {NOT_SERVING}
    execute(database_url, "DROP VIEW alembic_version")
    execute(database_url, "ALTER TABLE elsewhere RENAME TO alembic_version")
    await service.monitor.check()
    assert await statuses(service) == {SERVING}


async def test_a_watch_sends_the_last_status_before_it_ends(service: Service) -> None:
    async with watch(service, NAMES) as calls:
        assert await next_statuses(calls) == [SERVING] * len(NAMES)
        service.monitor.drain()
        service.monitor.servicer.end_watches()  # in the same iteration of the event loop
        assert await next_statuses(calls) == [NOT_SERVING] * len(NAMES)
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
