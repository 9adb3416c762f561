"""An unavailable database, a missing schema, an exhausted pool, and lock timeouts."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from sqlalchemy import make_url

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.testing.postgres import execute
from tests.conformance.breakage import TABLES, closed_database, failures, without_audit_log
from tests.conformance.promises import refuses
from tests.conformance.rpcs import valid_requests
from tests.support.errors import Failure
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import CASES, LOCATION, Case
from tests.support.service import Service, running_service

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DATABASE_UNAVAILABLE")

BUSY = Settings(pool_size=1, pool_timeout_seconds=0.2)


def assert_retry_is_advised(errors: dict[str, Failure]) -> None:
    """Check that each error has a retry delay."""
    assert [
        path for path, failure in errors.items() if failure.detail(RetryInfo).retry_delay.ToNanoseconds() <= 0
    ] == []


async def test_every_rpc_is_unavailable_until_the_database_is_back(
    service: Service, database_url: str, postgres: str
) -> None:
    requests = await valid_requests(service)
    with closed_database(postgres, database_url):
        for _ in range(2):  # on broken connections, then on connections that cannot be opened
            assert_retry_is_advised(await failures(service, requests, *UNAVAILABLE))
    for case in CASES:
        messages, _ = await case.page(service)
        assert len(messages) > 0


@pytest.mark.parametrize(
    "damage", ["DROP TABLE {} CASCADE", "ALTER TABLE {} DROP COLUMN display_name CASCADE"], ids=["table", "column"]
)
async def test_every_rpc_that_needs_a_missing_table_or_column_is_unavailable(
    service: Service, database_url: str, damage: str
) -> None:
    requests = without_audit_log(await valid_requests(service))
    for table in TABLES:
        execute(database_url, damage.format(table))
    if "COLUMN" in damage:  # deletes and charts do not need this column
        requests = {path: it for path, it in requests.items() if "Delete" not in path and "Chart" not in path}
    assert_retry_is_advised(await failures(service, requests, *UNAVAILABLE))


async def test_every_rpc_is_unavailable_without_a_schema(empty_database_url: str, service: Service) -> None:
    requests = await valid_requests(service)
    async with running_service(empty_database_url) as unmigrated:
        assert_retry_is_advised(await failures(unmigrated, requests, *UNAVAILABLE))


async def test_every_rpc_is_unavailable_while_no_connection_is_free(database_url: str) -> None:
    async with running_service(database_url, BUSY) as service:
        requests = await valid_requests(service)
        stored = (await LOCATION.page(service))[0][0]
        async with open_transaction(database_url, "SELECT FROM location FOR UPDATE") as holder:
            update = asyncio.create_task(LOCATION.update(service, stored))
            await waiting_for(holder)
            assert_retry_is_advised(await failures(service, requests, *UNAVAILABLE))
            await holder.rollback()
            assert (await update).id == stored.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("setting", "code", "reason"),
    [
        ("statement_timeout", grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_STATEMENT_TIMEOUT"),
        ("lock_timeout", grpc.StatusCode.ABORTED, "ERROR_REASON_CONFLICTING_CHANGE"),
    ],
)
async def test_a_change_that_waits_too_long_for_a_lock_is_rolled_back(
    database_url: str, case: Case, setting: str, code: grpc.StatusCode, reason: str
) -> None:
    execute(database_url, f"ALTER DATABASE {make_url(database_url).database} SET {setting} = '200ms'")
    async with running_service(database_url) as service:
        stored = await case.create(service)
        async with open_transaction(database_url, f"SELECT FROM {case.name} FOR UPDATE"):  # our own name
            with refuses(code, reason):
                await case.update(service, type(stored)(id=stored.id, display_name="other"))
            with refuses(code, reason):
                await case.delete(service, stored.id)
            assert await case.get(service, stored.id) == stored
        assert await case.get(service, stored.id) == stored
