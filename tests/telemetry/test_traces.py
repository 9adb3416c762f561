"""Traces that a collector receives: a span per traced call, below the caller's span and above those of its SQL."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest, ListFactoriesRequest
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.statement_metrics import describe
from tests.conformance.promises import invalid
from tests.support.collector import Collector, Span, collecting
from tests.support.command_line import run, serving
from tests.support.errors import fails
from tests.support.following import ChartFollower
from tests.support.locks import open_transaction, waiting_for
from tests.support.log_lines import access_line, until_ended
from tests.support.production import update_factory
from tests.support.resources import create_factory, create_location
from tests.support.service import Service, running_service

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED, NOT_TRACED = (f"00-{TRACE_ID}-{PARENT_ID}-{flags}" for flags in ("01", "00"))
GET_FACTORY = "sprocket.v1.FactoryService/GetFactory"
GET_CHART = "sprocket.v1.FactoryService/GetFactoryChart"
LIST_LOCATIONS = "sprocket.v1.LocationService/ListLocations"


@pytest.fixture(autouse=True)
def _access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


async def list_locations(service: Service, *metadata: tuple[str, str]) -> None:
    """Make a call that always works."""
    await service.locations.ListLocations(ListLocationsRequest(), metadata=metadata)


def call_of(collector: Collector, method: str) -> Span:
    """Return the only span of a method."""
    [span] = [span for span in collector.calls() if span.name == method]
    return span


def statements_of(collector: Collector, call: Span) -> list[Span]:
    """Return the statements of a call on tables, without those with which SQLAlchemy inspects the database."""
    return [span for span in collector.under(call) if "db.collection.name" in span.attributes]


# Which calls are traced.


async def test_a_call_is_a_span_by_the_semantic_conventions_with_its_statement_as_a_child(
    database_url: str, collector: Collector
) -> None:
    async with running_service(database_url, collector.settings()) as service:
        factory = await create_factory(service)
        call = service.factories.GetFactory(GetFactoryRequest(id=factory.id), metadata=(("x-request-id", "one"),))
        await call
    span = call_of(collector, GET_FACTORY)
    assert (span.parent_id, span.is_error) == ("", False)
    assert isinstance(span.attributes.pop("network.peer.port"), int)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": GET_FACTORY,
        "rpc.response.status_code": "OK",
        "network.peer.address": "127.0.0.1",
        "sprocket.principal": "anonymous",
        "sprocket.request_id": "one",
    }
    [statement] = collector.under(span)
    assert (statement.name, statement.kind, statement.trace_id) == ("SELECT factory", "CLIENT", span.trace_id)
    assert 0 < statement.seconds < span.seconds
    query = statement.attributes.pop("db.query.text")
    assert query.startswith("SELECT CAST(factory.id AS TEXT)")
    assert statement.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.collection.name": "factory",
        "db.query.summary": "SELECT factory",
    }


@pytest.mark.parametrize("ratio", [0, 1])
async def test_a_call_is_traced_under_its_callers_span_if_the_caller_traces(
    database_url: str, collector: Collector, ratio: float
) -> None:
    async with running_service(database_url, collector.settings(trace_sample_ratio=ratio)) as service:
        await list_locations(service, ("traceparent", TRACED), ("tracestate", "vendor=kept"))
    span = call_of(collector, LIST_LOCATIONS)
    assert (span.trace_id, span.parent_id) == (TRACE_ID, PARENT_ID)
    assert collector.traces[0].resource_spans[0].scope_spans[0].spans[-1].trace_state == "vendor=kept"


async def test_a_call_whose_caller_does_not_trace_is_not_traced(database_url: str, collector: Collector) -> None:
    async with running_service(database_url, collector.settings()) as service:
        await list_locations(service, ("traceparent", NOT_TRACED))
    assert collector.spans == []


@pytest.mark.parametrize(
    "traceparent",
    ["nonsense", f"00-{'0' * 32}-{PARENT_ID}-01", f"ff-{TRACE_ID}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-0x"],
)
async def test_an_invalid_traceparent_is_ignored(database_url: str, collector: Collector, traceparent: str) -> None:
    async with running_service(database_url, collector.settings()) as service:
        await list_locations(service, ("traceparent", traceparent))
    assert call_of(collector, LIST_LOCATIONS).parent_id == ""


async def test_a_share_of_the_other_calls_is_traced(database_url: str, collector: Collector) -> None:
    async with running_service(database_url, collector.settings(trace_sample_ratio=0.5)) as service:
        await asyncio.gather(*(list_locations(service) for _ in range(100)))
    assert 10 < len(collector.calls()) < 90  # fails once in 10^17 runs
    assert len({span.trace_id for span in collector.calls()}) == len(collector.calls())
    assert all(statements_of(collector, span) for span in collector.calls())


async def test_a_ratio_of_zero_traces_no_call(database_url: str, collector: Collector) -> None:
    async with running_service(database_url, collector.settings(trace_sample_ratio=0)) as service:
        await list_locations(service)
    assert collector.spans == []
    assert collector.metrics


async def test_health_is_not_traced(database_url: str, collector: Collector) -> None:
    async with running_service(database_url, collector.settings()) as service:
        health: Any = HealthStub(service.channel)
        await health.Check(HealthCheckRequest(), metadata=(("traceparent", TRACED),))
    assert collector.spans == []


# How calls end.


async def test_an_error_of_the_client_keeps_its_details_and_is_no_error_of_the_span(
    database_url: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(database_url, collector.settings()) as service:
        with fails(grpc.StatusCode.INVALID_ARGUMENT) as failure:
            await service.factories.GetFactory(GetFactoryRequest(id="x"), metadata=(("x-request-id", "two"),))
        await until_ended(caplog, "GetFactory INVALID_ARGUMENT")
    assert failure.detail(ErrorInfo).reason == "ERROR_REASON_INVALID_FIELD"
    assert [each.field for each in failure.detail(BadRequest).field_violations] == ["id"]
    assert failure.detail(RequestInfo).request_id == "two"
    span = call_of(collector, GET_FACTORY)
    assert not span.is_error
    assert span.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert span.attributes["sprocket.error.reason"] == "ERROR_REASON_INVALID_FIELD"
    assert "error.type" not in span.attributes


async def test_an_error_before_the_first_response_of_a_stream_keeps_its_details(
    database_url: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(database_url, collector.settings()) as service:
        stream = aiter(service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id="x")))
        assert await invalid(anext(stream)) == ["factory_id"]
        await until_ended(caplog, "GetFactoryChart INVALID_ARGUMENT")
    assert call_of(collector, GET_CHART).attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"


async def test_an_error_of_the_server_is_an_error_of_the_span_and_of_its_statement(
    database_url: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(database_url, collector.settings()) as service:
        with create_plain_engine(database_url).begin() as connection:
            connection.execute(text("ALTER TABLE location RENAME TO elsewhere"))
        with fails(grpc.StatusCode.UNAVAILABLE):
            await list_locations(service)
        await until_ended(caplog, "ListLocations UNAVAILABLE")
    span = call_of(collector, LIST_LOCATIONS)
    assert (span.is_error, span.attributes["error.type"]) == (True, "UNAVAILABLE")
    [statement] = statements_of(collector, span)
    assert (statement.is_error, statement.attributes["error.type"]) == (True, "42P01")


async def test_a_stream_is_one_span_until_its_end(database_url: str, collector: Collector) -> None:
    async with running_service(database_url, collector.settings()) as service:
        factory = await create_factory(service)
        request = GetFactoryChartRequest(factory_id=factory.id)
        assert [response async for response in service.factories.GetFactoryChart(request)]
    span = call_of(collector, GET_CHART)
    assert span.attributes["rpc.response.status_code"] == "OK"
    statements = [statement.name for statement in collector.under(span)]
    assert statements.count("SELECT chart_page") == 2  # where the range is, and its entries


async def test_a_cancelled_stream_ends_its_span_and_polling_creates_no_span(
    database_url: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(database_url, collector.settings(follow_tick_seconds=0.01)) as service:
        factory = await create_factory(service)
        async with ChartFollower(service.channel, factory.id) as follower:
            await follower.until_entries(1)
            await update_factory(service, factory.id, sprocket_production_goal=7)
            await follower.until_entries(2)
        await until_ended(caplog, "GetFactoryChart CANCELLED")
    span = call_of(collector, GET_CHART)
    assert (span.is_error, span.attributes["rpc.response.status_code"]) == (False, "CANCELLED")
    calls = {each.span_id for each in collector.calls()}
    assert all(each.parent_id in calls for each in collector.spans if each.kind == "CLIENT")


async def test_a_call_that_is_cancelled_ends_its_span_and_that_of_its_statement(
    database_url: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        running_service(database_url, collector.settings()) as service,
        open_transaction(database_url, "LOCK TABLE factory") as connection,
    ):
        call = service.factories.ListFactories(ListFactoriesRequest())
        waiting = asyncio.ensure_future(call)
        await waiting_for(connection)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until_ended(caplog, "ListFactories CANCELLED")  # else the statement may still finish
    span = call_of(collector, "sprocket.v1.FactoryService/ListFactories")
    assert (span.is_error, span.attributes["rpc.response.status_code"]) == (False, "CANCELLED")
    [statement] = statements_of(collector, span)
    assert (statement.is_error, statement.attributes["error.type"]) == (True, "CancelledError")


# Statements.


async def test_a_transaction_has_spans_for_its_statements_and_its_commit(
    database_url: str, collector: Collector
) -> None:
    async with running_service(database_url, collector.settings()) as service:
        factory = await create_factory(service)
        await update_factory(service, factory.id, sprocket_production_goal=7)
    statements = collector.under(call_of(collector, "sprocket.v1.FactoryService/UpdateFactory"))
    names = [statement.name for statement in statements]
    assert names[-1] == "COMMIT"
    assert "UPDATE factory INSERT chart_entry" in names
    assert len({statement.trace_id for statement in statements}) == 1


async def test_no_content_of_a_call_is_in_its_trace(database_url: str, collector: Collector) -> None:
    secret = "correct-horse"  # noqa: S105  # invented  # pragma: allowlist secret
    async with running_service(database_url, collector.settings()) as service:
        await create_location(service, display_name=secret)
        request = ListLocationsRequest(filter=f'display_name = "{secret}"')
        await service.locations.ListLocations(request, metadata=(("authorization", f"Bearer {secret}"),))
    assert len(collector.calls()) == 2
    assert secret not in str(collector.traces) + str(collector.metrics)


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT factory.id FROM factory WHERE factory.id = :id FOR NO KEY UPDATE", "SELECT factory"),
        ("WITH asked AS (SELECT id FROM factory)\n SELECT * FROM asked JOIN chart_entry ON true", "SELECT factory"),
        ("SELECT set_config('a', 'b', true)", "SELECT"),
        ("SELECT * FROM unnest(:ids) AS known LEFT OUTER JOIN factory ON true", "SELECT factory"),
        ("INSERT INTO location (id) VALUES (:id) ON CONFLICT (id) DO UPDATE SET id = 1", "INSERT location"),
        ("WITH a AS (UPDATE factory SET x = 1) INSERT INTO sprocket (id) VALUES (1)", "UPDATE factory INSERT sprocket"),
        ("WITH a AS (SELECT id FROM sprocket FOR UPDATE) DELETE FROM sprocket", "DELETE sprocket"),
        ("SET LOCAL statement_timeout = 1", "SET"),
        ("", ""),
    ],
)
def test_a_statement_is_named_after_the_table_that_it_writes_or_else_reads(statement: str, summary: str) -> None:
    assert describe(statement).summary == summary


# Logs.


def test_log_lines_and_audit_entries_have_the_trace_id(database_url: str, collector: Collector) -> None:
    settings = {"otlp_endpoint": collector.url, "trace_sample_ratio": "1"}
    with serving(database_url=database_url, **settings) as served:
        client = run("health", "--server", served.address)
        assert client.status == 0
        with grpc.insecure_channel(served.address) as channel:
            call: Any = channel.unary_unary(f"/{LIST_LOCATIONS}")
            call(b"", metadata=(("x-request-id", "three"),))
        line = access_line(served, "three")
        served.process.terminate()
        assert served.end().status == 0
    assert line["trace_id"] == call_of(collector, LIST_LOCATIONS).trace_id
