"""Which failed calls client commands retry, shown for `sprocket-grpc create`."""

import io

import grpc
import pytest
from google.rpc.status_pb2 import Status

from sprocket.v1.location_pb2 import CreateLocationRequest
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.catalogue import catalogue
from tests.support.client_commands import LOCATION, failing_server, failure
from tests.support.command_line import PATIENCE_SECONDS, run

UNAVAILABLE = failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 0)


@pytest.mark.parametrize(
    "failures",
    [
        [UNAVAILABLE, UNAVAILABLE],
        [failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 1)],
        [failure(grpc.StatusCode.ABORTED, "CONFLICTING_CHANGE", 0)],
    ],
    ids=["unavailable", "rate limited", "conflicting change"],
)
def test_a_write_is_retried_with_the_same_request_id(failures: list[Status]) -> None:
    with failing_server(*failures) as server:
        finished = run("create", "location", *LOCATION, client_server=server.address)
    assert finished.status == 0, finished
    assert len(server.requests) == len(failures) + 1
    assert len({each.request_id for each in server.requests}) == 1
    assert server.requests[0].request_id


def test_an_error_that_a_retry_does_not_solve_is_not_retried() -> None:
    with failing_server(failure(grpc.StatusCode.ABORTED, "ETAG_MISMATCH")) as server:
        run("create", "location", *LOCATION, client_server=server.address).assert_refused()
    assert len(server.requests) == 1


def test_retries_end_at_the_timeout() -> None:
    with failing_server(*[UNAVAILABLE] * 100) as server:
        finished = run("create", "location", *LOCATION, "--timeout", "1", client_server=server.address)
    finished.assert_refused()
    assert 1 < len(server.requests) < 10
    assert finished.errors == f"Error: {server.address} failed with UNAVAILABLE: scripted\n"


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (UNAVAILABLE, "{server} is unavailable"),
        (failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 0), "{server} asks for a retry: scripted"),
    ],
    ids=["unavailable", "rate limited"],
)
def test_a_person_is_told_once_why_a_command_waits(failure: Status, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    create = catalogue()["location"].methods["Create"]
    with (
        failing_server(failure, failure) as scripted,
        connected(Connection(scripted.address, None, None, None, None)) as server,
    ):
        Caller(server, PATIENCE_SECONDS).call(create, CreateLocationRequest())
    assert terminal.getvalue().count("\n") == 1
    assert f"{why.format(server=scripted.address)}; retrying for {PATIENCE_SECONDS} s\n" in terminal.getvalue()
