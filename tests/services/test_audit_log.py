"""Lists of the audit log, and its protection against changes."""

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sprocket.v1.audit_pb2 import AuditEntry, ListAuditEntriesRequest
from sprocket.v1.location_pb2 import Location
from sprocket_grpc.storage.audit import first_id
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.conformance.writes import MAKERS
from tests.support.auditing import call_as, entries
from tests.support.errors import fails
from tests.support.resources import CASES, create_location
from tests.support.service import Service

LOCATION = CASES[0]
REMOVE = "SET LOCAL sprocket.remove_audit_entries = 'on'"


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a database with the sample data; its transaction is rolled back in the end."""
    with create_plain_engine(database_url).connect() as connection:
        seed(connection)
        connection.commit()
        yield connection


async def write_entries(service: Service, count: int) -> None:
    """Create a location, and update it until there are `count` entries."""
    made = await create_location(service)
    for number in range(count - 1):
        await LOCATION.update(service, Location(id=made.id, display_name=f"Springfield {number}"))


async def pages(service: Service, **fields: Any) -> list[AuditEntry]:
    """List all entries, page by page."""
    request = ListAuditEntriesRequest(**fields)
    found: list[AuditEntry] = []
    while True:
        response = await service.audit.ListAuditEntries(request)
        found += response.audit_entries
        if not response.next_page_token:
            return found
        assert len(response.audit_entries) == request.page_size
        request.page_token = response.next_page_token


# Lists.


async def test_the_newest_entries_come_first_and_ids_are_in_the_order_of_time(service: Service) -> None:
    await write_entries(service, 30)
    log = await entries(service)
    names = [each.after["display_name"] for each in log]
    assert names == [f"Springfield {number}" for number in reversed(range(29))] + ["Springfield"]
    for field in ("id", "create_time.seconds"):
        values = [each.id if field == "id" else each.create_time.ToNanoseconds() for each in log]
        assert values == sorted(values, reverse=True)
    assert [first_id(each.create_time.ToMicroseconds())[:18] for each in log] == [each.id[:18] for each in log]
    assert {(uuid.UUID(each.id).version, uuid.UUID(each.id).variant) for each in log} == {(7, uuid.RFC_4122)}


@pytest.mark.parametrize("order", ["", "id", "create_time desc", "principal, method desc, create_time"])
async def test_pages_have_every_entry_once_in_any_order(service: Service, order: str) -> None:
    await write_entries(service, 8)
    whole = await entries(service, order_by=order)
    assert len(whole) == 8
    assert await pages(service, page_size=3, order_by=order) == whole
    if order == "id":
        assert whole == (await entries(service))[::-1]


async def test_entries_added_between_pages_do_not_change_the_pages(service: Service) -> None:
    await write_entries(service, 4)
    whole = await entries(service)
    first = await service.audit.ListAuditEntries(ListAuditEntriesRequest(page_size=2))
    await write_entries(service, 4)
    rest = ListAuditEntriesRequest(page_size=2, page_token=first.next_page_token)
    assert [*first.audit_entries, *(await service.audit.ListAuditEntries(rest)).audit_entries] == whole


async def test_entries_can_be_filtered_by_each_field(service: Service) -> None:
    other = await create_location(service)
    write = await MAKERS["CreateSprocketType"](service)
    await call_as(service, 'a "name"', write.path, write.request)
    [wanted, unwanted] = await entries(service)
    assert unwanted.resource_id == other.id
    for condition in (
        'request_id = "a \\"name\\""',
        f"resource_id = {wanted.resource_id}",
        'resource_type = "sprocket.v1.SprocketType"',
        f'method = "{write.path}"',
        f'create_time >= "{wanted.create_time.ToJsonString()}"',
        f"id > {unwanted.id}",
        "principal = anon* AND NOT resource_type = *Location",
    ):
        assert await entries(service, condition) == [wanted], condition


async def test_show_total_size_counts_the_entries(service: Service) -> None:
    await write_entries(service, 3)
    request = ListAuditEntriesRequest(page_size=1, show_total_size=True)
    assert (await service.audit.ListAuditEntries(request)).total_size == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"filter": "before = 1"},
        {"filter": "Springfield"},
        {"order_by": "after"},
        {"page_size": -1},
        {"page_token": "made up"},
    ],
    ids=str,
)
async def test_an_invalid_list_request_is_refused(service: Service, fields: dict[str, Any]) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT) as failure:
        await service.audit.ListAuditEntries(ListAuditEntriesRequest(**fields))
    assert failure.fields == [*fields]


def plan_of(connection: Connection, condition: str) -> str:
    """Write some hundred entries, and return the plan of a page of those with a condition."""
    for number in range(400):
        connection.execute(text("UPDATE location SET city = :city"), {"city": str(number)})
    connection.execute(text("ANALYZE audit_entry"))
    explain = f"EXPLAIN (COSTS OFF) SELECT * FROM audit_entry WHERE {condition} ORDER BY id DESC LIMIT 51"  # noqa: S608  # our own
    return "\n".join(connection.scalars(text(explain)))


def partition_of_newest(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT tableoid::regclass FROM audit_entry ORDER BY id DESC LIMIT 1")))


@pytest.mark.parametrize("condition", ["true", f"id >= '{first_id(10**15)}'"])
def test_lists_are_read_from_the_indexes_of_partitions_without_a_sort(connection: Connection, condition: str) -> None:
    plan = plan_of(connection, condition)
    assert f"Index Scan Backward using {partition_of_newest(connection)}_pkey" in plan
    assert "->  Sort" not in plan


def test_the_entries_of_a_resource_are_read_from_an_index(connection: Connection) -> None:
    plan = plan_of(connection, f"resource_id = '{first_id(0)}'")
    assert f"Index Scan Backward using {partition_of_newest(connection)}_resource_id_id_idx" in plan


def test_a_page_after_the_first_reads_the_partitions_one_after_the_other(connection: Connection) -> None:
    token = connection.scalar(text("SELECT id FROM audit_entry ORDER BY id DESC LIMIT 1"))
    plan = plan_of(connection, f"id < '{token}'")
    assert "Merge Append" not in plan
    assert "audit_entry_default" not in plan


# Changes by SQL.


def test_the_sample_data_has_entries(connection: Connection) -> None:
    found = connection.execute(text("SELECT resource_type, count(*) FROM audit_entry GROUP BY 1"))
    kinds = {"Location": 3, "SprocketType": 3, "Factory": 3, "Sprocket": 32 + 30 + 31}
    assert dict(map(tuple, found)) == {f"sprocket.v1.{kind}": number for kind, number in kinds.items()}
    assert connection.scalar(text("SELECT count(*) FROM audit_entry WHERE jsonb_exists(after, 'chart_sequence')")) == 0


# Append-only.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET principal = 'somebody else'",
        "UPDATE audit_entry SET principal = 'somebody else' WHERE false",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
    ],
)
def test_entries_can_neither_be_changed_nor_deleted(connection: Connection, statement: str) -> None:
    with pytest.raises(DBAPIError, match="the audit log is append-only"):
        connection.execute(text(statement))


def test_entries_can_only_be_deleted_in_a_transaction_that_enables_it(connection: Connection) -> None:
    connection.execute(text(REMOVE))
    assert connection.execute(text("DELETE FROM audit_entry")).rowcount > 0
    connection.commit()
    seed(connection)
    with pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text("DELETE FROM audit_entry"))


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET after = NULL", "TRUNCATE audit_entry"])
def test_entries_cannot_be_changed_even_if_deletes_are_enabled(connection: Connection, statement: str) -> None:
    connection.execute(text(REMOVE))
    with pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(statement))
