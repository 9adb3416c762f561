"""`serve --ephemeral`: one line of JSON, and nothing is left however it ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from sprocket.client import Client
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.cli.ephemeral import _OWN_SETTINGS
from sprocket_grpc.config.settings import Settings
from tests.storage.embedded.servers import open_directory
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, environment, run
from tests.support.resources import location
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SERVE = [*COMMAND, "serve", "--ephemeral"]

PARENT = f"""
import subprocess, sys
child = subprocess.Popen({SERVE}, stdin=subprocess.DEVNULL)
child.wait()
"""
"""A program that starts the server without a pipe, as Go does, and is killed."""


def test_no_setting_that_names_another_system_reaches_the_server() -> None:
    names = {name for name in Settings.model_fields if name.endswith(("_url", "_storage"))}
    assert names >= {"database_url", "database_read_url", "rate_limit_storage"}
    assert {name: _OWN_SETTINGS[name] for name in names} == dict.fromkeys(names)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for temporary files, which PostgreSQL can enter when tests run as root."""
    with open_directory() as path:
        yield path


@contextmanager
def ephemeral(
    directory: Path, command: list[str] = SERVE, stdin: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """Start a server, whose temporary files are in a directory, and kill it in the end."""
    variables = environment({}) | {"TMPDIR": str(directory)}
    with subprocess.Popen(command, env=variables, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the addresses that a server prints once it is ready."""
    found: dict[str, str] = json.loads(output(process).readline())
    return found


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout
    return process.stdout


def postgres_pid(directory: Path) -> int:
    """Return the pid of the PostgreSQL that keeps its data in a directory."""
    [pid_file] = directory.glob("*/data/postmaster.pid")
    return int(pid_file.read_text().splitlines()[0])


def runs(pid: int) -> bool:
    """Return whether a process runs, or has ended and was not waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_nothing_is_left(directory: Path, *pids: int) -> None:
    wait_until(lambda: not any(map(runs, pids)))
    wait_until(lambda: not list(directory.iterdir()))


def test_it_prints_the_addresses_of_an_empty_service(directory: Path) -> None:
    with ephemeral(directory) as process:
        found = addresses(process)
        assert set(found) == {"grpc", "web"}
        with Client(found["grpc"]) as client:
            locations = LocationServiceStub(client.channel)
            assert [list(page.locations) for page in client.pages(locations.ListLocations, ListLocationsRequest())] == [
                []
            ]
            client.call(locations.CreateLocation, CreateLocationRequest(location=location(display_name="Plant")))
        request = urllib.request.Request(  # noqa: S310  # the address is ours
            f"{found['web']}/sprocket.v1.LocationService/ListLocations",
            data=b"{}",
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310  # as above
            assert json.load(response)["locations"][0]["displayName"] == "Plant"


def test_it_ends_with_its_standard_input_and_leaves_nothing(directory: Path) -> None:
    with ephemeral(directory) as process:
        addresses(process)
        postgres = postgres_pid(directory)
        assert process.stdin
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert output(process).read() == ""
        wait_until_nothing_is_left(directory, postgres)


def test_it_ends_with_a_parent_that_is_killed_and_leaves_nothing(directory: Path) -> None:
    with ephemeral(directory, [sys.executable, "-c", PARENT], subprocess.DEVNULL) as parent:
        addresses(parent)
        postgres = postgres_pid(directory)
        parent.kill()
        parent.wait()
        assert output(parent).read() == ""  # the end: no process has it open any more
        wait_until_nothing_is_left(directory, postgres)


def test_when_it_is_killed_nothing_is_left(directory: Path) -> None:
    with ephemeral(directory) as process:
        addresses(process)
        postgres = postgres_pid(directory)
        process.kill()
        process.wait()
        wait_until_nothing_is_left(directory, postgres)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_it_is_stopped_while_it_starts_nothing_is_left(directory: Path, number: signal.Signals) -> None:
    with ephemeral(directory) as process:
        wait_until(lambda: bool(list(directory.glob("*/data.new/*"))))  # while initdb runs
        process.send_signal(number)
        process.wait(PATIENCE_SECONDS)
        wait_until_nothing_is_left(directory)


def test_two_of_them_are_independent(directory: Path) -> None:
    with ephemeral(directory) as one, ephemeral(directory) as other:
        first, second = addresses(one)["grpc"], addresses(other)["grpc"]
        assert first != second
        for each in (first, second):
            with Client(each) as client:
                locations = LocationServiceStub(client.channel)
                client.call(locations.CreateLocation, CreateLocationRequest(location=location()))
                assert len(client.call(locations.ListLocations, ListLocationsRequest()).locations) == 1


def test_it_has_one_process_and_is_not_for_production() -> None:
    workers = run("serve", "--ephemeral", "--workers", "2")
    assert workers.status == 2
    assert "leave --workers out" in workers.errors
    run("serve", "--ephemeral", environment="production").assert_refused()
