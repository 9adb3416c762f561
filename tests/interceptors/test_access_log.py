"""The access log: one line for every finished call, without the content of the call."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest, ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.testing.postgres import new_database
from tests.support.callers import bearer, create_key
from tests.support.command_line import ServeProcess, run, serving
from tests.support.log_lines import ACCESS, access_line, log_lines
from tests.support.resources import MISSING_ID, location

pytestmark = pytest.mark.slow

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
SECRET = "correct-horse"  # noqa: S105  # a made-up secret, which must not leak  # pragma: allowlist secret

LISTED = "FactoryService/ListFactories"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"

# Long enough that its stream does not fit into gRPC's buffers for a client that does not read.
_LONG_CHART = text("""
    WITH grown AS (
        UPDATE factory SET chart_sequence = chart_sequence + 500000 WHERE id = :factory_id
        RETURNING id, chart_sequence, chart_time_micros
    )
    INSERT INTO chart_entry SELECT id, n, chart_time_micros, n, n
    FROM grown, generate_series(chart_sequence - 499999, chart_sequence) AS n
""")


@pytest.fixture(scope="module")
def url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        with create_plain_engine(url).begin() as connection:
            seed(connection)
        yield url


@pytest.fixture(scope="module")
def served(url: str) -> Iterator[ServeProcess]:
    with serving(database_url=url) as served:
        yield served


@pytest.fixture(scope="module")
def channel(served: ServeProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.address) as channel:
        yield channel


def test_a_call_is_one_line_with_caller_method_code_duration_and_sizes(
    served: ServeProcess, channel: grpc.Channel
) -> None:
    metadata = (("x-request-id", "one"), ("traceparent", TRACEPARENT))
    request = ListFactoriesRequest(page_size=2)
    response = FactoryServiceStub(channel).ListFactories(request, metadata=metadata)
    line = access_line(served, "one")
    assert line.pop("time").endswith("Z")
    assert line.pop("duration_ms") > 0
    assert line.pop("peer").startswith("ipv4:127.0.0.1:")
    assert line == {
        "level": "INFO",
        "logger": ACCESS,
        "message": "/sprocket.v1.FactoryService/ListFactories OK",
        "method": "/sprocket.v1.FactoryService/ListFactories",
        "code": "OK",
        "principal": "anonymous",
        "request_id": "one",
        "trace_id": TRACE_ID,
        "request_bytes": request.ByteSize(),
        "response_bytes": response.ByteSize(),
        "responses": 1,
    }


def test_a_call_that_fails_is_logged_with_its_code(served: ServeProcess, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError):
        FactoryServiceStub(channel).GetFactory(GetFactoryRequest(id=MISSING_ID), metadata=(("x-request-id", "two"),))
    line = access_line(served, "two")
    assert (line["code"], line["responses"], line["response_bytes"]) == ("NOT_FOUND", 0, 0)


def test_an_authenticated_caller_is_logged_even_without_permission(database_url: str) -> None:
    caller = bearer(create_key(database_url, "read", name="dashboards").text)
    with (
        serving(database_url=database_url, api_keys="true") as served,  # pragma: allowlist secret
        grpc.insecure_channel(served.address) as channel,
    ):
        locations = LocationServiceStub(channel)
        locations.ListLocations(ListLocationsRequest(), metadata=(*caller, ("x-request-id", "may")))
        with pytest.raises(grpc.RpcError):
            locations.CreateLocation(CreateLocationRequest(), metadata=(*caller, ("x-request-id", "may not")))
        with pytest.raises(grpc.RpcError):
            locations.ListLocations(ListLocationsRequest(), metadata=(("x-request-id", "unknown"),))
        lines = [access_line(served, request_id) for request_id in ("may", "may not", "unknown")]
    codes, names = zip(*((line["code"], str(line["principal"])) for line in lines), strict=True)
    assert codes == ("OK", "PERMISSION_DENIED", "UNAUTHENTICATED")
    assert names[0] == names[1]
    assert "dashboards" in names[0]
    assert names[2] == "anonymous"


def test_a_stream_is_one_line_with_the_number_of_responses(served: ServeProcess, channel: grpc.Channel) -> None:
    factory_id = FactoryServiceStub(channel).ListFactories(ListFactoriesRequest()).factories[0].id
    request = GetFactoryChartRequest(factory_id=factory_id)
    responses = list(FactoryServiceStub(channel).GetFactoryChart(request, metadata=(("x-request-id", "three"),)))
    line = access_line(served, "three")
    assert (line["code"], line["responses"]) == ("OK", len(responses))
    assert line["response_bytes"] == sum(response.ByteSize() for response in responses)


@pytest.mark.parametrize(
    "follow", [True, False], ids=["while it waits for new entries", "while its client does not read"]
)
def test_a_stream_that_its_client_cancels_is_logged_as_cancelled(
    served: ServeProcess, channel: grpc.Channel, url: str, *, follow: bool
) -> None:
    factory_id = FactoryServiceStub(channel).ListFactories(ListFactoriesRequest()).factories[-1].id
    if not follow:
        with create_plain_engine(url).begin() as connection:
            connection.execute(_LONG_CHART, {"factory_id": factory_id})
    request = GetFactoryChartRequest(factory_id=factory_id, follow=follow)
    request_id = f"left {follow}"
    stream = FactoryServiceStub(channel).GetFactoryChart(request, metadata=(("x-request-id", request_id),))
    next(stream)
    time.sleep(0.3)  # until gRPC's buffers are full, which is not observable
    stream.cancel()
    assert access_line(served, request_id)["code"] == "CANCELLED"


def test_the_content_of_a_call_is_not_logged(served: ServeProcess, channel: grpc.Channel) -> None:
    metadata = (("x-request-id", "secret"), ("authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET))
    request = CreateLocationRequest(location=location(display_name=SECRET))
    LocationServiceStub(channel).CreateLocation(request, metadata=metadata)
    access_line(served, "secret")
    assert SECRET not in served.logged


def test_an_unexpected_error_is_one_line_with_its_traceback_and_request_id(
    served: ServeProcess, channel: grpc.Channel, url: str
) -> None:
    with create_plain_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE location ADD CONSTRAINT ck_surprise CHECK (display_name <> 'surprise')"))
    metadata = (("x-request-id", "broken"), ("traceparent", TRACEPARENT))
    request = CreateLocationRequest(location=location(display_name="surprise"))
    with pytest.raises(grpc.RpcError):
        LocationServiceStub(channel).CreateLocation(request, metadata=metadata)
    assert access_line(served, "broken")["code"] == "INTERNAL"
    [line] = [line for line in log_lines(served) if line["level"] == "ERROR"]
    assert line["exception"].startswith("Traceback")
    assert (line["request_id"], line["trace_id"]) == ("broken", TRACE_ID)


def test_the_text_format_writes_lines_for_people(url: str) -> None:
    with serving(database_url=url, log_format="text") as served:
        with grpc.insecure_channel(served.address) as channel:
            metadata = (("x-request-id", "mine"),)
            FactoryServiceStub(channel).ListFactories(ListFactoriesRequest(), metadata=metadata)
        served.process.terminate()
        [line] = [line for line in served.end().errors.splitlines() if LISTED in line]
    assert re.fullmatch(rf"{TIME} INFO {LISTED} OK [0-9.]+ ms anonymous request_id=mine", line)


def test_each_line_has_the_time_of_its_own_call(served: ServeProcess, channel: grpc.Channel) -> None:
    began, ids = [], [f"call {number}" for number in range(5)]
    for request_id in ids:
        began.append(datetime.now(UTC) - timedelta(milliseconds=1))  # the log has whole milliseconds
        FactoryServiceStub(channel).ListFactories(ListFactoriesRequest(), metadata=(("x-request-id", request_id),))
        time.sleep(0.02)
    logged = [datetime.fromisoformat(access_line(served, request_id)["time"]) for request_id in ids]
    assert logged == sorted(set(logged))
    for start, time_in_log in zip(began, logged, strict=True):
        assert start <= time_in_log


def test_other_commands_use_the_log_format_too(empty_database_url: str) -> None:
    lines = run("migrate", database_url=empty_database_url, log_format="json").errors.splitlines()
    assert lines
    assert all(line.startswith('{"time":"') and '"logger":"alembic.runtime.migration"' in line for line in lines)
