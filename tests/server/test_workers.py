"""Several workers on one port: connections are distributed, dead workers are replaced, and all stop together."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.server.test_shutdown import create_sprocket, locked_factories
from tests.support.command_line import PATIENCE_SECONDS, ServeProcess, run, serving
from tests.support.resources import location
from tests.support.waiting import wait_until, wait_until_blocked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="/proc is needed to find the child processes"),
]


def children(served: ServeProcess) -> list[int]:
    """Return the process ids of the workers."""
    tasks = Path(f"/proc/{served.process.pid}/task")
    listed = [(task / "children").read_text().split() for task in tasks.iterdir()]
    own = command_line(served.process.pid)  # workers are forks
    return sorted(int(pid) for pids in listed for pid in pids if command_line(int(pid)) == own)


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if the process does not exist."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""


def threads(pid: int) -> int:
    """Return the number of threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@contextmanager
def client(served: ServeProcess) -> Iterator[grpc.Channel]:
    """Open a new connection, because channels would share one, which leads to the same worker."""
    with grpc.insecure_channel(served.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def call(served: ServeProcess) -> None:
    with client(served) as channel:
        LocationServiceStub(channel).ListLocations(ListLocationsRequest(), timeout=30, wait_for_ready=True)


def users(url: str) -> int:
    """Return the number of connections to the database of a test."""
    with create_plain_engine(url).connect() as connection:
        others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        count: int = connection.scalars(text(f"SELECT count(*) FROM {others}")).one()  # noqa: S608  # a constant
        return count


def test_connections_are_distributed_over_all_workers(database_url: str) -> None:
    with serving("--workers", "3", database_url=database_url, pool_size="1") as served:
        assert "in 3 processes" in served.lines
        assert len(children(served)) == 3
        assert users(database_url) >= 3  # one per worker for health checks
        for _ in range(50):
            call(served)
        assert users(database_url) == 6  # 50 connections reached all workers, each with a pool of one
        served.signal(signal.SIGTERM)
        assert served.end().status == 0
    wait_until(lambda: users(database_url) == 0)  # PostgreSQL notices a moment later


def test_a_killed_worker_is_replaced_and_the_others_keep_running(database_url: str) -> None:
    with serving("--workers", "2", database_url=database_url) as served:
        killed, other = children(served)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(children(served)) == 2 and killed not in children(served))
        assert other in children(served)
        assert threads(served.process.pid) == 1  # else a fork can hang
        for _ in range(10):
            call(served)
        served.signal(signal.SIGTERM)
        finished = served.end()
    assert finished.status == 0
    assert "ended with status -9; replacing it" in finished.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_all_workers_drain_together_and_a_second_signal_stops_them_immediately(
    database_url: str, number: signal.Signals
) -> None:
    with (
        serving("--workers", "2", database_url=database_url, drain_seconds="3600") as served,
        client(served) as channel,
    ):
        health: Any = HealthStub(channel)
        watching = health.Watch(HealthCheckRequest())
        assert next(watching).status == HealthCheckResponse.SERVING
        served.signal(number)
        assert next(watching).status == HealthCheckResponse.NOT_SERVING
        LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=location()))
        assert len(children(served)) == 2
        served.signal(number)
        finished = served.end()
    assert finished.status == 0
    assert "Traceback" not in finished.errors


def test_workers_do_not_outlive_a_supervisor_that_is_killed(database_url: str) -> None:
    with serving("--workers", "2", database_url=database_url) as served:
        workers = children(served)
        served.process.kill()
        wait_until(lambda: not any(map(command_line, workers)))


def test_all_workers_share_the_port_for_health_checks(database_url: str) -> None:
    with serving("--workers", "2", database_url=database_url, health_listen="127.0.0.1:0") as served:
        [line] = [line for line in served.lines if line.startswith("health checks without TLS on ")]
        with grpc.insecure_channel(line.rpartition(" ")[2]) as channel:
            health: Any = HealthStub(channel)
            assert health.Check(HealthCheckRequest(service="readiness")).status == HealthCheckResponse.SERVING


def test_a_port_in_use_by_another_server_is_refused(database_url: str) -> None:
    with serving("--workers", "2", database_url=database_url) as served:
        finished = run("serve", "--workers", "2", database_url=database_url, listen=served.address)
    finished.assert_refused()
    assert "is another server running there?" in finished.errors


def test_a_worker_that_cannot_start_stops_all_and_its_reason_is_reported(database_url: str, tmp_path: Path) -> None:
    missing = {"tls_certificate": str(tmp_path / "tls.crt"), "tls_key": str(tmp_path / "tls.key")}
    finished = run("serve", "--workers", "2", database_url=database_url, listen="127.0.0.1:0", **missing)
    finished.assert_refused()
    assert "SPROCKET_TLS_KEY" in finished.errors
    assert "before it was ready" in finished.errors


@pytest.mark.parametrize("order", [1, -1], ids=["supervisor first", "workers first"])
def test_workers_that_get_an_additional_sigterm_let_calls_finish(database_url: str, order: int) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    with (
        serving("--workers", "2", database_url=database_url, shutdown_grace_seconds="60") as served,
        client(served) as channel,
    ):
        with locked_factories(database_url):
            call = create_sprocket(channel, database_url)
            wait_until_blocked(database_url, 1)
            for pid in [served.process.pid, *children(served)][::order]:  # as systemd does
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.5)
        assert call.result().sprocket.id
        assert served.end().status == 0


def test_two_simultaneous_signals_stop_workers_immediately(database_url: str) -> None:
    with serving("--workers", "2", database_url=database_url, drain_seconds="3600") as served:
        served.signal(signal.SIGTERM)
        served.signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_SECONDS) == 0


def test_workers_let_calls_finish_when_their_supervisor_is_killed(database_url: str) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    with (
        serving("--workers", "2", database_url=database_url, shutdown_grace_seconds="60") as served,
        client(served) as channel,
    ):
        workers = children(served)
        with locked_factories(database_url):
            call = create_sprocket(channel, database_url)
            wait_until_blocked(database_url, 1)
            served.process.kill()
            time.sleep(0.5)
        assert call.result().sprocket.id
        wait_until(lambda: not any(map(command_line, workers)))
