"""Shutdown: SIGTERM and Ctrl-C change the health status, and calls in flight finish (row 21)."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support import command_line
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, ServeProcess, environment, serving
from tests.support.ports import free_address
from tests.support.unread import unread_call
from tests.support.waiting import wait_until, wait_until_blocked

pytestmark = pytest.mark.slow

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def seeded_database_url(database_url: str) -> str:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    return database_url


def scalar(url: str, query: str) -> Any:
    with create_plain_engine(url).connect() as connection:
        return connection.scalar(text(query))


def create_sprocket(channel: grpc.Channel, url: str) -> Any:
    """Start to create a sprocket for the oldest factory, and return the call."""
    factory_id = scalar(url, "SELECT min(id::text) FROM factory")
    sprocket = Sprocket(factory_id=factory_id, sprocket_type_id=scalar(url, "SELECT min(id::text) FROM sprocket_type"))
    client: Any = SprocketServiceStub(channel)
    return client.CreateSprocket.future(CreateSprocketRequest(sprocket=sprocket), timeout=PATIENCE_SECONDS)


@contextmanager
def locked_factories(url: str) -> Iterator[None]:
    """Lock all factories until the block ends, so that no sprocket can be created."""
    with create_plain_engine(url).begin() as connection:
        connection.execute(text("SELECT 1 FROM factory FOR UPDATE"))
        yield


@contextmanager
def connected(served: ServeProcess) -> Iterator[tuple[grpc.Channel, Any]]:
    """A channel, and a watch of the server's health that has seen it SERVING."""
    with grpc.insecure_channel(served.address) as channel:
        client: Any = HealthStub(channel)  # its types lack Watch
        watching = client.Watch(HealthCheckRequest())
        assert next(watching).status == SERVING
        yield channel, watching


def takes_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_call_in_flight_finishes_after_the_health_status_has_changed(
    seeded_database_url: str, number: signal.Signals
) -> None:
    url = seeded_database_url
    with serving(database_url=url, shutdown_grace_seconds="60") as served, connected(served) as (channel, watching):
        with locked_factories(url):
            call = create_sprocket(channel, url)
            wait_until_blocked(url, 1)
            served.signal(number)
            assert next(watching).status == NOT_SERVING
            watching.cancel()
            wait_until(lambda: not takes_connections(served.address))
            assert not call.done()
        created = call.result().sprocket
        finished = served.end()
    assert finished.status == 0
    assert "Traceback" not in finished.errors
    assert scalar(url, f"SELECT count(*) FROM sprocket WHERE id = '{created.id}'") == 1  # noqa: S608  # an id of the server


def test_an_open_watch_does_not_delay_shutdown(seeded_database_url: str) -> None:
    with (
        serving(database_url=seeded_database_url, shutdown_grace_seconds="3600") as served,
        connected(served) as (_, watching),
    ):
        served.signal(signal.SIGTERM)
        assert next(watching).status == NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            next(watching)
        assert served.end().status == 0
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_draining_server_is_not_serving_and_accepts_calls_until_a_second_signal(
    seeded_database_url: str,
) -> None:
    url = seeded_database_url
    waits = {"drain_seconds": "3600", "shutdown_grace_seconds": "3600"}
    with serving(database_url=url, **waits) as served, connected(served) as (channel, watching):
        served.signal(signal.SIGTERM)
        assert next(watching).status == NOT_SERVING
        health: Any = HealthStub(channel)
        assert health.Check(HealthCheckRequest(service="liveness")).status == SERVING
        assert health.Check(HealthCheckRequest(service="readiness")).status == NOT_SERVING
        assert create_sprocket(channel, url).result().sprocket.id
        with locked_factories(url):
            call = create_sprocket(channel, url)
            wait_until_blocked(url, 1)
            served.signal(signal.SIGTERM)
            finished = served.end()
        assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
    assert finished.status == 0
    assert "Traceback" not in finished.errors


@pytest.mark.parametrize(
    ("drain", "grace", "said"),
    [
        (
            "0.25",
            "30",
            ["draining: calls are accepted for another 0.25 s", "draining: calls in flight have 30 s to finish"],
        ),
        ("0", "30", ["draining: calls in flight have 30 s to finish"]),
        ("0.25", "0", ["draining: calls are accepted for another 0.25 s", "stopping: calls in flight are ended"]),
        ("0", "0", ["stopping: calls in flight are ended"]),
    ],
)
def test_a_stop_says_which_calls_it_waits_for_and_no_wait_of_0_seconds(
    database_url: str, drain: str, grace: str, said: list[str]
) -> None:
    with serving(database_url=database_url, drain_seconds=drain, shutdown_grace_seconds=grace) as served:
        served.signal(signal.SIGTERM)
        finished = served.end()
    messages = [json.loads(line)["message"] for line in finished.errors.splitlines()]
    assert [each for each in messages if each.startswith(("draining", "stopping"))] == said
    assert finished.output.endswith("stopped\n")


def test_after_a_drain_the_server_stops_by_itself(seeded_database_url: str) -> None:
    with (
        serving(database_url=seeded_database_url, drain_seconds="0.5") as served,
        connected(served) as (channel, watching),
    ):
        served.signal(signal.SIGTERM)
        assert next(watching).status == NOT_SERVING
        assert create_sprocket(channel, seeded_database_url).result().sprocket.id
        assert served.end().status == 0


def test_streams_that_follow_a_chart_end_immediately_with_a_last_token(seeded_database_url: str) -> None:
    factory_id = scalar(seeded_database_url, "SELECT min(id::text) FROM factory")
    request = GetFactoryChartRequest(factory_id=factory_id, follow=True)
    with (
        serving(database_url=seeded_database_url, shutdown_grace_seconds="3600") as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        stub: Any = FactoryServiceStub(channel)
        stream = stub.GetFactoryChart(request)
        assert next(stream).end_of_history
        served.signal(signal.SIGTERM)
        last = next(stream)
        with pytest.raises(grpc.RpcError) as raised:
            next(stream)
        finished = served.end()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert last.resume_token
    assert not last.chart.time_micros
    assert finished.status == 0


def test_calls_that_exceed_the_grace_period_end_as_unavailable(seeded_database_url: str) -> None:
    url = seeded_database_url
    grace = {"shutdown_grace_seconds": "0.1", "pool_size": "50"}
    with serving(database_url=url, **grace) as served, connected(served) as (channel, watching):
        with locked_factories(url):
            calls = [create_sprocket(channel, url) for _ in range(50)]
            wait_until_blocked(url, 1)  # the other calls wait behind it
            served.signal(signal.SIGTERM)
            assert next(watching).status == NOT_SERVING
            finished = served.end()
        codes = [call.exception().code() for call in calls]
        with pytest.raises(grpc.RpcError) as raised:
            next(watching)
        codes.append(raised.value.code())
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    assert finished.status == 0
    assert "Traceback" not in finished.errors


def test_a_watch_whose_client_does_not_read_does_not_delay_shutdown(database_url: str) -> None:
    with (
        serving(database_url=database_url, shutdown_grace_seconds="1") as served,
        unread_call(served.address, "/grpc.health.v1.Health/Watch"),
    ):
        time.sleep(0.5)  # until the server is blocked by the client
        served.signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert "Traceback" not in served.logged


def test_a_server_that_reads_from_standbys_waits_only_for_calls(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = (
        "import sprocket_grpc.server.run as r; r._CANCEL_SECONDS = 3600;"
        " from sprocket_grpc.__main__ import main; main()"
    )
    monkeypatch.setattr(command_line, "COMMAND", (sys.executable, "-c", longest))
    with serving(database_url=database_url, database_read_url=database_url) as served:
        served.signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE_SECONDS) == 0


def test_a_server_that_is_stopped_before_it_accepts_calls_does_not_drain(database_url: str) -> None:
    variables = environment({"listen": free_address(), "database_url": database_url, "drain_seconds": "3600"})
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("LOCK TABLE alembic_version"))
        with subprocess.Popen(
            [*COMMAND, "serve"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as it:
            try:
                wait_until_blocked(database_url, 1)
                it.send_signal(signal.SIGTERM)
                output, _ = it.communicate(timeout=PATIENCE_SECONDS)
            finally:
                it.kill()
    assert it.returncode == 0
    assert b"listens on" not in output
    assert b"Traceback" not in output
