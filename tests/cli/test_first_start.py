"""Starts with the embedded PostgreSQL: what is made, what is kept, and what a terminal shows."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import grpc
import pytest

from sprocket.v1.factory_pb2 import DeleteFactoryRequest, GetFactoryChartRequest, ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, GetLocationRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_pb2 import DeleteSprocketRequest, ListSprocketsRequest
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.cli.database import prepare
from sprocket_grpc.storage import migrate
from sprocket_grpc.testing.postgres import new_database
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, ServeProcess, environment, run, serving
from tests.support.migrations import NEWEST_REVISION
from tests.support.ports import free_address
from tests.support.resources import location
from tests.support.terminal import open_terminal, rest

pytestmark = pytest.mark.slow

CREATED = "created the tables and added the sample data"


@pytest.fixture
def directory() -> Iterator[Path]:
    """A data directory that does not exist yet, in a directory that the user of PostgreSQL can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data"


@pytest.fixture(scope="module")
def occupied(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server on the port that another one wants."""
    with new_database(postgres, template) as url, serving(database_url=url) as served:
        yield served


def ends(channel: grpc.Channel) -> list[int]:
    """Return when the history of each factory ends, in microseconds since 1970."""
    factories = FactoryServiceStub(channel)
    found = factories.ListFactories(ListFactoriesRequest()).factories
    charts = [factories.GetFactoryChart(GetFactoryChartRequest(factory_id=each.id)) for each in found]
    return [max(micros for response in chart for micros in response.chart.time_micros) for chart in charts]


@pytest.mark.parametrize("setting", ["listen", "health_listen", "metrics_listen", "web_listen"])
def test_a_port_in_use_is_reported_in_one_line_before_a_database_is_created(
    occupied: ServeProcess, directory: Path, setting: str
) -> None:
    second = run(
        "serve", **({"embedded_directory": str(directory), "listen": "127.0.0.1:0"} | {setting: occupied.address})
    )
    assert (second.status, second.output) == (1, "")
    assert second.errors == (
        f"Error: cannot listen on {occupied.address}: is another server running there? "
        f"SPROCKET_{setting.upper()} sets another address\n"
    )
    assert not directory.exists()


def delete_first_factory(channel: grpc.Channel) -> None:
    factories, sprockets = FactoryServiceStub(channel), SprocketServiceStub(channel)
    first = factories.ListFactories(ListFactoriesRequest()).factories[0].id
    for sprocket in sprockets.ListSprockets(ListSprocketsRequest(page_size=1000)).sprockets:
        if sprocket.factory_id == first:
            sprockets.DeleteSprocket(DeleteSprocketRequest(id=sprocket.id))
    factories.DeleteFactory(DeleteFactoryRequest(id=first))


def test_serve_works_without_settings_and_keeps_its_data(directory: Path) -> None:
    with serving(embedded_directory=str(directory)) as served, grpc.insecure_channel(served.address) as channel:
        assert str(directory) in served.lines[0]
        assert CREATED in served.lines
        before = ends(channel)
        assert all(abs(each / 1_000_000 - time.time()) < 2 * PATIENCE_SECONDS for each in before)
        assert len(FactoryServiceStub(channel).ListFactories(ListFactoriesRequest()).factories) == 3
        assert run("seed", embedded_directory=str(directory)).status == 0  # at the same time, on the same PostgreSQL
        assert ends(channel) == before
        delete_first_factory(channel)
        made = LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=location())).location
        served.signal(signal.SIGINT)
        assert served.end().status == 0
    with serving(embedded_directory=str(directory)) as served, grpc.insecure_channel(served.address) as channel:
        assert CREATED not in served.lines
        assert ends(channel) == before[1:]
        assert LocationServiceStub(channel).GetLocation(GetLocationRequest(id=made.id)).location == made
        assert len(FactoryServiceStub(channel).ListFactories(ListFactoriesRequest()).factories) == 2
        served.signal(signal.SIGTERM)
        assert served.end().status == 0
    assert not (directory / "postmaster.pid").exists()


# What is shown.


def start_and_stop_in_terminal(directory: Path) -> list[str]:
    """Return the lines that `serve` shows in a terminal until Ctrl-C has ended it."""
    ours, theirs = open_terminal()
    variables = environment({"embedded_directory": str(directory), "listen": free_address()})
    with subprocess.Popen(
        [*COMMAND, "serve"], env=variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        bound = Timer(PATIENCE_SECONDS, process.kill)
        bound.start()
        try:
            shown = b""
            while b"Press Ctrl-C to stop." not in shown:
                shown += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            shown += rest(ours)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            bound.cancel()
            process.kill()
            os.close(ours)
    return shown.decode().splitlines()


def test_a_terminal_shows_one_line_about_migrations_and_nothing_for_programs(directory: Path) -> None:
    first, second = (start_and_stop_in_terminal(directory) for _ in range(2))
    for lines in (first, second):
        assert not [line for line in lines if "alembic" in line or "Running upgrade" in line or line.startswith("{")]
        draining, stopped = lines[-2:]
        assert re.fullmatch(r"(\^C)?\d\d:\d\d:\d\d INFO draining: calls in flight have [1-9]\d* s to finish", draining)
        assert stopped == "stopped"
    assert first.count(CREATED) == 1
    assert CREATED not in second


def test_migrations_of_an_existing_database_are_one_line(
    empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate.upgrade(empty_database_url, "0008")
    prepare(empty_database_url, None, None)
    prepare(empty_database_url, None, None)
    assert capsys.readouterr().out == f"applied the migrations after 0008, up to {NEWEST_REVISION}\n"
