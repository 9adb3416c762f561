"""A role that lacks a privilege: calls are UNAVAILABLE with a reason of its own, and the log names the table once."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
from sqlalchemy import make_url

from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket_grpc.storage.postgres import errors
from sprocket_grpc.testing.postgres import execute
from tests.support.errors import Failure, fails
from tests.support.resources import create_location
from tests.support.service import Service, running_service

REASON = "ERROR_REASON_DATABASE_MISCONFIGURED"
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'"


@pytest.fixture(autouse=True)
def _nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_logged", {})


@pytest.fixture
async def role(database_url: str) -> AsyncIterator[str]:
    """A role with all privileges on all tables."""
    name = f"server_{uuid.uuid4().hex}"
    execute(database_url, f"CREATE ROLE {name} LOGIN")
    execute(database_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
    try:
        yield name
    finally:
        execute(database_url, KILL.format(name))
        execute(database_url, f"DROP OWNED BY {name} CASCADE")
        execute(database_url, f"DROP ROLE {name}")


@pytest.fixture
async def restricted(database_url: str, role: str) -> AsyncIterator[Service]:
    """A server that connects as this role."""
    async with running_service(make_url(database_url).set(username=role).render_as_string()) as running:
        yield running


def assert_nothing_internal(failure: Failure) -> None:
    """Check the error of a call."""
    assert failure.info.reason == REASON
    assert "location" not in str(failure.status)
    assert "denied" not in str(failure.status)


async def test_a_write_without_the_privilege_is_unavailable_and_the_log_names_the_table_once(
    restricted: Service, database_url: str, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(database_url, f"REVOKE INSERT ON location FROM {role}")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            with fails(grpc.StatusCode.UNAVAILABLE) as failure:
                await create_location(restricted)
            assert_nothing_internal(failure)
    [record] = [record for record in caplog.records if "permission denied" in record.getMessage()]
    assert record.getMessage() == (
        "the database is not configured for this service: SQLSTATE 42501: permission denied for table location"
    )
    assert not any(record.exc_info for record in caplog.records)
    execute(database_url, f"GRANT INSERT ON location TO {role}")
    await create_location(restricted)


async def test_a_prepared_read_without_the_privilege_is_unavailable(
    restricted: Service, database_url: str, role: str
) -> None:
    made = await create_location(restricted)
    execute(database_url, f"REVOKE SELECT ON location FROM {role}")  # noqa: S608  # a made-up name
    for _ in range(2):
        with fails(grpc.StatusCode.UNAVAILABLE) as failure:
            await restricted.locations.GetLocation(GetLocationRequest(id=made.id))
        assert_nothing_internal(failure)
    execute(database_url, f"GRANT SELECT ON location TO {role}")
    assert (await restricted.locations.GetLocation(GetLocationRequest(id=made.id))).location == made


async def test_health_says_which_privilege_is_missing(restricted: Service, database_url: str, role: str) -> None:
    execute(database_url, f"REVOKE SELECT ON alembic_version FROM {role}")  # noqa: S608  # a made-up name
    await restricted.monitor.check()
    assert restricted.monitor.problem == (
        "the database rejects the health check: SQLSTATE 42501: permission denied for table alembic_version"
    )
    execute(database_url, f"GRANT SELECT ON alembic_version TO {role}")
    await restricted.monitor.check()
    assert restricted.monitor.problem is None


async def test_calls_of_a_role_that_may_not_log_in_any_more_are_unavailable(
    restricted: Service, database_url: str, role: str
) -> None:
    await create_location(restricted)
    execute(database_url, f"ALTER ROLE {role} NOLOGIN")
    execute(database_url, KILL.format(role))
    for _ in range(3):
        with fails(grpc.StatusCode.UNAVAILABLE):
            await create_location(restricted)
    execute(database_url, f"ALTER ROLE {role} LOGIN")
    async with asyncio.timeout(30):
        await create_location(restricted)
