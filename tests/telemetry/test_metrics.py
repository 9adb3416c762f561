"""Metrics: those in docs/observability.md exist, with correct values, for Prometheus and for a collector."""

import logging
import re
import signal
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest, ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.collector import collecting
from tests.support.command_line import ServeProcess, run, serving
from tests.support.log_lines import log_lines, until_ended
from tests.support.resources import MISSING_ID, create_location, location
from tests.support.scraping import metrics_url, scrape
from tests.support.service import running_service
from tests.support.waiting import wait_until, wait_until_blocked

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "observability.md").read_text()
ROW = re.compile(r"^\| `([a-z][\w.]+)` \| (counter|gauge|histogram)(?:, (s|bytes))? \|", re.MULTILINE)
UNITS = {"s": "_seconds", "bytes": "_bytes", "": ""}

GET_FACTORY = "sprocket.v1.FactoryService/GetFactory"
GET_CHART = "sprocket.v1.FactoryService/GetFactoryChart"
CREATE_LOCATION = "sprocket.v1.LocationService/CreateLocation"
DURATION = "rpc_server_call_duration_seconds"
ANY_PORT = "127.0.0.1:0"


def documented() -> dict[str, str]:
    """Return the documented metrics, by their names in Prometheus, with their kinds."""
    return {name.replace(".", "_") + UNITS[unit]: kind for name, kind, unit in ROW.findall(DOCUMENT)}


@pytest.fixture
def url(database_url: str) -> str:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    return database_url


@pytest.fixture
def served(url: str) -> Iterator[ServeProcess]:
    with serving(database_url=url, metrics_listen=ANY_PORT) as served:
        yield served


@pytest.fixture
def channel(served: ServeProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.address) as channel:
        yield channel


def fail(channel: grpc.Channel, served: ServeProcess) -> None:
    """Make a call that fails, and wait until it is counted, which is a moment after its client gets the error."""
    before = scrape(served).value("sprocket_call_errors_total")
    with pytest.raises(grpc.RpcError):
        FactoryServiceStub(channel).GetFactory(GetFactoryRequest(id=MISSING_ID))
    wait_until(lambda: scrape(served).value("sprocket_call_errors_total") > before)


# Which metrics exist.


def test_the_metrics_are_those_of_the_document(served: ServeProcess, channel: grpc.Channel, url: str) -> None:
    fail(channel, served)
    with create_plain_engine(url).begin() as connection:
        connection.execute(text("LOCK TABLE location"))
        calls = [create_location_later(channel) for _ in range(20)]  # more than the pool has connections
        wait_until(lambda: scrape(served).value("db_client_connection_pending_requests") == len(calls) - 10)
    for call in calls:
        call.result()
    assert documented()
    wait_until(lambda: "sprocket_event_loop_lag_seconds" in scrape(served).kinds)  # measured at intervals
    assert scrape(served).kinds | {"target_info": "gauge"} == documented()


def create_location_later(channel: grpc.Channel) -> Any:
    """Start to create a location, and return the call."""
    return LocationServiceStub(channel).CreateLocation.future(CreateLocationRequest(location=location()))


async def test_a_collector_gets_the_same_metrics(database_url: str) -> None:
    with collecting() as collector:
        async with running_service(database_url, collector.settings()) as service:
            await create_location(service)
    documented_names = {name for name, _, _ in ROW.findall(DOCUMENT)}
    sometimes = {"sprocket.call.errors", "db.client.connection.wait_time", "sprocket.event_loop.lag"}
    assert documented_names - sometimes - {"target_info"} <= collector.metric_names() <= documented_names
    method = frozenset({("rpc.method", CREATE_LOCATION)})
    assert collector.last_values("sprocket.call.responses") == {method: 1}
    [(attributes, count)] = collector.last_values("rpc.server.call.duration").items()
    assert count == 1
    assert attributes == method | {("rpc.system.name", "grpc"), ("rpc.response.status_code", "OK")}


# Calls.


def test_calls_are_timed_by_method_and_status(served: ServeProcess, channel: grpc.Channel) -> None:
    for _ in range(3):
        FactoryServiceStub(channel).ListFactories(ListFactoriesRequest())
    fail(channel, served)
    metrics = scrape(served)
    listed = {"rpc_method": "sprocket.v1.FactoryService/ListFactories", "rpc_response_status_code": "OK"}
    assert metrics.value(f"{DURATION}_count", **listed) == 3
    assert metrics.value(f"{DURATION}_bucket", le="+Inf", **listed) == 3
    assert 0 < metrics.value(f"{DURATION}_sum", **listed) < 60
    assert metrics.value(f"{DURATION}_count", rpc_method=GET_FACTORY, rpc_response_status_code="NOT_FOUND") == 1
    assert metrics.labels("error_type") <= {""}  # none of them is an error of the server


def test_failed_calls_are_counted_by_the_reason_of_their_error(served: ServeProcess, channel: grpc.Channel) -> None:
    fail(channel, served)
    fail(channel, served)
    labels = {"rpc_method": GET_FACTORY, "sprocket_error_reason": "ERROR_REASON_RESOURCE_NOT_FOUND"}
    assert scrape(served).value("sprocket_call_errors_total", **labels) == 2


def test_bytes_and_responses_are_counted(served: ServeProcess, channel: grpc.Channel) -> None:
    request = ListLocationsRequest(page_size=3)
    response = LocationServiceStub(channel).ListLocations(request)
    metrics = scrape(served)
    assert metrics.value("sprocket_call_received_bytes_total") == request.ByteSize()
    assert metrics.value("sprocket_call_sent_bytes_total") == response.ByteSize()
    assert metrics.value("sprocket_call_responses_total") == 1


def test_open_streams_and_followed_charts_are_counted(served: ServeProcess, channel: grpc.Channel) -> None:
    factories = FactoryServiceStub(channel)
    factory_id = factories.ListFactories(ListFactoriesRequest()).factories[0].id
    streams = [factories.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True)) for _ in range(2)]
    sizes = [next(stream).ByteSize() for stream in streams]
    wait_until(lambda: scrape(served).value("sprocket_chart_streams") == 2)
    metrics = scrape(served)
    assert metrics.value("sprocket_chart_followed") == 1
    assert metrics.value("sprocket_call_active", rpc_method=GET_CHART) == 2
    assert metrics.value("sprocket_call_sent_bytes_total", rpc_method=GET_CHART) >= sum(sizes)
    assert metrics.value(f"{DURATION}_count", rpc_method=GET_CHART) == 0
    for stream in streams:
        stream.cancel()
    wait_until(lambda: scrape(served).value("sprocket_call_active", rpc_method=GET_CHART) == 0)
    metrics = scrape(served)
    assert metrics.value("sprocket_chart_followed") == 0
    assert metrics.value(f"{DURATION}_count", rpc_method=GET_CHART, rpc_response_status_code="CANCELLED") == 2


def test_unknown_method_names_create_no_series(served: ServeProcess, channel: grpc.Channel) -> None:
    names = [f"/sprocket.v1.FactoryService/Get{n}" for n in range(5)] + ["/sprocket.", "/x/y", '/a"b/{c}', "/a\n/b"]
    for name in names:
        call: Any = channel.unary_unary(name)
        with pytest.raises(grpc.RpcError) as raised:
            call(b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    fail(channel, served)
    assert scrape(served).labels("rpc_method") == {GET_FACTORY}


# The pool, statements, health and the process.


def test_the_pool_is_measured(url: str) -> None:
    settings = {"metrics_listen": ANY_PORT, "pool_size": "2", "pool_timeout_seconds": "0.5"}
    with serving(database_url=url, **settings) as served, grpc.insecure_channel(served.address) as channel:
        with create_plain_engine(url).begin() as connection:
            connection.execute(text("LOCK TABLE location"))
            calls = [create_location_later(channel) for _ in range(5)]
            wait_until_blocked(url, 2)
            wait_until(lambda: scrape(served).value("db_client_connection_timeouts_total") == 3)
            metrics = scrape(served)
        codes = sorted(call.code().name for call in calls)
        after = scrape(served)
    pool = "db_client_connection_pool_name", "primary"
    assert codes == ["OK"] * 2 + ["UNAVAILABLE"] * 3
    assert metrics.value("db_client_connection_count", db_client_connection_state="used") == 2
    assert metrics.value("db_client_connection_max", **dict([pool])) == 2
    # Tasks in the background may wait too.
    assert metrics.value("db_client_connection_wait_time_seconds_count", **dict([pool])) >= 3
    assert round(metrics.value("db_client_connection_wait_time_seconds_sum"), 6) >= 3 * 0.5
    assert after.value("db_client_connection_pending_requests") == 0
    assert after.value("db_client_connection_count", db_client_connection_state="used") == 0
    assert after.value("db_client_connection_count", db_client_connection_state="idle") == 2


def test_statements_are_timed_by_operation_and_table(served: ServeProcess, channel: grpc.Channel, url: str) -> None:
    LocationServiceStub(channel).ListLocations(ListLocationsRequest())
    with create_plain_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE factory RENAME TO elsewhere"))
    with pytest.raises(grpc.RpcError):
        FactoryServiceStub(channel).ListFactories(ListFactoriesRequest())
    wait_until(lambda: scrape(served).value(f"{DURATION}_count", error_type="UNAVAILABLE") == 1)
    metrics, count = scrape(served), "db_client_operation_duration_seconds_count"
    listed = {"db_operation_name": "SELECT", "db_collection_name": "location", "db_system_name": "postgresql"}
    assert metrics.value(count, **listed) == 1
    assert metrics.value(count, db_collection_name="factory", error_type="42P01") == 1


def test_the_health_metric_follows_the_database(served: ServeProcess, url: str) -> None:
    assert scrape(served).value("sprocket_health_serving") == 1
    with create_plain_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE alembic_version RENAME TO elsewhere"))
    wait_until(lambda: scrape(served).value("sprocket_health_serving") == 0)


def test_the_process_and_its_event_loop_are_measured(served: ServeProcess) -> None:
    wait_until(lambda: scrape(served).value("sprocket_event_loop_lag_seconds_count") >= 3)
    metrics = scrape(served)
    assert 0 < metrics.value("process_cpu_time_seconds_total", cpu_mode="user") < 60
    assert 10e6 < metrics.value("process_memory_usage_bytes") < 1e9
    assert 3 < metrics.value("process_unix_file_descriptor_count") < 1000
    assert 0 < metrics.value("process_uptime_seconds") < 600
    assert metrics.value("target_info", service_name="sprocket-grpc") == 1


async def test_calls_that_the_rate_limit_cannot_count_are_counted_as_uncounted(database_url: str) -> None:
    unreachable = SecretStr("redis://127.0.0.1:1/0")
    with collecting() as collector:
        settings = collector.settings(rate_limit="1/year", rate_limit_storage=unreachable)
        async with running_service(database_url, settings) as service:
            for _ in range(3):
                await service.locations.ListLocations(ListLocationsRequest())
    assert collector.last_values("sprocket.rate_limit.uncounted") == {frozenset(): 3}


async def test_calls_over_the_rate_limit_are_counted(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with collecting() as collector:
        async with running_service(database_url, collector.settings(rate_limit="1/year")) as service:
            await service.locations.ListLocations(ListLocationsRequest())
            with pytest.raises(grpc.aio.AioRpcError):
                await service.locations.ListLocations(ListLocationsRequest())
            await until_ended(caplog, "ListLocations RESOURCE_EXHAUSTED")
    attributes = {
        "rpc.method": "sprocket.v1.LocationService/ListLocations",
        "sprocket.error.reason": "ERROR_REASON_RATE_LIMITED",
    }
    assert collector.last_values("sprocket.call.errors") == {frozenset(attributes.items()): 1}
    assert collector.last_values("sprocket.rate_limit.uncounted") == {frozenset(): 0}


# Addresses.


def test_a_silent_scraper_does_not_delay_shutdown(served: ServeProcess) -> None:
    host, _, port = metrics_url(served).removeprefix("http://").removesuffix("/metrics").rpartition(":")
    with socket.create_connection((host, int(port))):
        served.signal(signal.SIGTERM)
        finished = served.end()
    assert finished.status == 0
    assert "Traceback" not in finished.errors


def test_an_address_in_use_is_refused(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = run("serve", database_url=url, listen=ANY_PORT, metrics_listen=address)
    finished.assert_refused()
    assert f"cannot listen on {address}" in finished.errors
    assert "SPROCKET_METRICS_LISTEN" in finished.errors


def test_an_ipv6_address_is_accepted(url: str) -> None:
    with serving(database_url=url, metrics_listen="[::1]:0") as served:
        assert metrics_url(served).startswith("http://[::1]:")
        assert scrape(served).kinds


def test_every_worker_has_a_port_of_its_own(url: str) -> None:
    with serving("--workers", "2", database_url=url, metrics_listen=ANY_PORT, log_format="json") as served:

        def listening() -> set[str]:
            return {line["message"] for line in log_lines(served) if line["message"].startswith("serving metrics on ")}

        wait_until(lambda: len(listening()) == 2)
