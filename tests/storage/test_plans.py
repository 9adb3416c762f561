"""Query plans of each call on a large database: PostgreSQL reads a range of an index, never a whole table."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest
from psycopg.pq.abc import PGconn
from sqlalchemy import text

from sprocket.v1.factory_pb2 import FollowFactoryChartsRequest, GetFactoryChartRequest
from sprocket.v1.sprocket_pb2 import (
    BatchDeleteSprocketsRequest,
    BatchGetSprocketsRequest,
    DeleteSprocketRequest,
    GetSprocketRequest,
    ListSprocketsRequest,
)
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute, new_database
from tests.support.production import update_sprocket
from tests.support.resources import create_sprocket
from tests.support.service import Service, running_service
from tests.support.statements import Sent, statements_of

EXPLAINED = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"}
LARGE = {"sprocket", "chart_entry"}
ROWS = 40_000
MOST_SORTED = ROWS // 10

# Ids in the order of their numbers: 1 is the location, 2 are types, 3 factories and 4 sprockets.
FILL = [
    """
    CREATE FUNCTION test_id(kind int, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT ('01937f2e-7d1c-7a4' || kind || '-8000-' || lpad(to_hex(number), 12, '0'))::uuid
    $$
    """,
    "INSERT INTO location SELECT test_id(1, 1), now(), now(), 'A', 'A', '', 'A', '', 'A', 'US'",
    "INSERT INTO sprocket_type SELECT test_id(2, n), now(), now(), 'A', 5, 1, 5, 6 FROM generate_series(1, 40) AS n",
    """
    INSERT INTO factory SELECT test_id(3, n), now(), now(), 'A', test_id(1, 1), 1, 10000, 10000, 10000
    FROM generate_series(1, 4) AS n
    """,
    "ALTER TABLE sprocket DISABLE TRIGGER USER",  # no audit entries, which these tests do not need
    """
    INSERT INTO sprocket (id, create_time, update_time, display_name, sprocket_type_id, factory_id)
    SELECT test_id(4, n), to_timestamp(n), to_timestamp(n), 'Cog ' || n, test_id(2, 1 + n / 4 % 40),
           test_id(3, 1 + n % 4)
    FROM generate_series(1, 40000) AS n
    """,
    "ALTER TABLE sprocket ENABLE TRIGGER USER",
    """
    INSERT INTO chart_entry SELECT test_id(3, f), n, n, 1, n
    FROM generate_series(1, 4) AS f, generate_series(1, 10000) AS n
    """,
]

A_TYPE, A_FACTORY, A_SPROCKET = (f"01937f2e-7d1c-7a4{kind}-8000-000000000002" for kind in (2, 3, 4))

Node: TypeAlias = "dict[str, Any]"
Call: TypeAlias = Callable[[Service], Awaitable[object]]


class Plan(NamedTuple):
    """The query plan of a statement."""

    statement: str
    root: Node

    def nodes(self) -> Iterator[Node]:
        """Return all nodes."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.get("Plans", [])

    def of_large_tables(self) -> list[Node]:
        """Return the nodes that read a large table."""
        return [node for node in self.nodes() if node.get("Relation Name") in LARGE and "Scan" in node["Node Type"]]


def fill(url: str, *more: str) -> None:
    engine = create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in [*more, *FILL]:
            connection.execute(text(statement))


@pytest.fixture(scope="module")
def large_database_url(postgres: str, template: str) -> Iterator[str]:
    """A database with many sprockets and chart entries, which tests change only slightly."""
    with new_database(postgres, template) as url:
        fill(url)
        execute(url, "VACUUM ANALYZE")
        yield url


@pytest.fixture
async def large(large_database_url: str) -> AsyncIterator[Service]:
    async with running_service(large_database_url) as running:
        yield running


async def plans_of(service: Service, call: Call) -> list[Plan]:
    """Make a call, and return the query plans of its statements."""
    with statements_of(service.database) as sent:
        await call(service)
    driver = await service.database.pool._connector._connect()
    async with driver:
        return [_plan(driver.pgconn, each) for each in sent if each.text.lstrip().split()[0] in EXPLAINED]


def _plan(connection: PGconn, sent: Sent) -> Plan:
    answer = connection.exec_params(f"EXPLAIN (FORMAT JSON) {sent.text}".encode(), sent.parameters)
    plan = answer.get_value(0, 0)
    assert plan is not None, answer.error_message
    return Plan(sent.text, json.loads(plan)[0]["Plan"])


def assert_bounded(plans: list[Plan], *, all_in_the_index: bool = True) -> None:
    """Check that no large table is read or sorted completely, and that all rows read match the index condition."""
    assert any(plan.of_large_tables() for plan in plans)
    for plan in plans:
        for node in plan.of_large_tables():
            assert node["Node Type"] != "Seq Scan", plan
            assert not all_in_the_index or "Filter" not in node, plan
        for node in plan.nodes():
            assert node["Node Type"] != "Sort" or node["Plan Rows"] < MOST_SORTED, plan


def listing(condition: str = "", order: str = "") -> Call:
    """List two pages."""

    async def call(service: Service) -> None:
        request = ListSprocketsRequest(filter=condition, order_by=order)
        first = await service.sprockets.ListSprockets(request)
        assert len(first.sprockets) > 0
        if first.next_page_token:
            request.page_token = first.next_page_token
            await service.sprockets.ListSprockets(request)

    return call


FIELDS = ["id", "create_time", "update_time", "display_name", "sprocket_type_id", "factory_id"]
FILTERS = {
    f"id = {A_SPROCKET}": "",
    f"id > {A_SPROCKET}": "",
    f"factory_id = {A_FACTORY}": "",
    f"factory_id = {A_FACTORY} AND id > {A_SPROCKET}": "",
    f"sprocket_type_id = {A_TYPE}": "",
    'display_name = "Cog 7"': "",
    "create_time = 1970-01-01T00:10:00Z": "",
    "create_time > 1970-01-01T00:10:00Z": "create_time",
    "update_time < 1970-01-01T00:10:00Z": "update_time",
    'display_name = "Cog 77*"': "display_name",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_list_ordered_by_any_field_reads_a_range_of_an_index(large: Service, field: str) -> None:
    assert_bounded(await plans_of(large, listing(order=field)))


@pytest.mark.parametrize("field", FIELDS)
async def test_a_list_in_descending_order_reads_a_range_of_an_index(large: Service, field: str) -> None:
    assert_bounded(await plans_of(large, listing(order=f"{field} desc")))


@pytest.mark.parametrize(("condition", "order"), FILTERS.items())
async def test_a_filter_by_any_field_reads_only_matching_rows(large: Service, condition: str, order: str) -> None:
    text_pattern = "*" in condition  # PostgreSQL checks the pattern as a filter too
    assert_bounded(await plans_of(large, listing(condition, order)), all_in_the_index=not text_pattern)


async def _get(service: Service) -> None:
    await service.sprockets.GetSprocket(GetSprocketRequest(id=A_SPROCKET))


async def _batch_get(service: Service) -> None:
    await service.sprockets.BatchGetSprockets(BatchGetSprocketsRequest(ids=[A_SPROCKET]))


async def _create_change_and_delete(service: Service) -> None:
    sprocket = await create_sprocket(service, factory_id=A_FACTORY, sprocket_type_id=A_TYPE)
    await update_sprocket(service, sprocket.id, factory_id=A_FACTORY[:-1] + "1", display_name="Other")
    await service.sprockets.DeleteSprocket(DeleteSprocketRequest(id=sprocket.id))


async def _chart_range(service: Service) -> None:
    request = GetFactoryChartRequest(factory_id=A_FACTORY)
    request.start_time.nanos, request.end_time.nanos = 5_000_000, 6_000_000
    responses = [response async for response in service.factories.GetFactoryChart(request)]
    assert sum(len(each.chart.time_micros) for each in responses) == 1000


async def _chart_follow(service: Service) -> None:
    stream = service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=A_FACTORY, follow=True))
    async for response in stream:
        if response.end_of_history:
            break
    await create_sprocket(service, factory_id=A_FACTORY, sprocket_type_id=A_TYPE)
    await anext(aiter(stream))
    stream.cancel()


async def _follow_charts(service: Service) -> None:
    stream = service.factories.FollowFactoryCharts(FollowFactoryChartsRequest(factory_ids=[A_FACTORY]))
    async for response in stream:
        if response.end_of_history:
            break
    stream.cancel()


@pytest.mark.parametrize(
    "call", [_get, _batch_get, _create_change_and_delete, _chart_range, _chart_follow, _follow_charts]
)
async def test_any_other_call_reads_only_the_rows_that_it_needs(large: Service, call: Call) -> None:
    assert_bounded(await plans_of(large, call), all_in_the_index=False)


async def _delete_in_all_ways(service: Service) -> None:
    doomed = [await create_sprocket(service, factory_id=A_FACTORY, sprocket_type_id=A_TYPE) for _ in range(4)]
    together, alone, *batch = [each.id for each in doomed]
    await service.sprockets.DeleteSprocket(DeleteSprocketRequest(id=together))
    await service.sprockets.DeleteSprocket(DeleteSprocketRequest(id=alone, request_id=alone))
    await service.sprockets.BatchDeleteSprockets(BatchDeleteSprocketsRequest(ids=batch))


@pytest.mark.parametrize("call", [_get, _batch_get, _create_change_and_delete, _delete_in_all_ways])
async def test_a_call_reads_an_index_before_postgresql_has_any_statistics(
    service: Service, database_url: str, call: Call
) -> None:
    fill(database_url, *(f"ALTER TABLE {each} SET (autovacuum_enabled = off)" for each in LARGE))
    assert_bounded(await plans_of(service, call), all_in_the_index=False)
