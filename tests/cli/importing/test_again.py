"""A repeated import writes nothing twice, even if the command or the server was killed."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.cli.importing.world import World
from tests.support.client_commands import answer, call
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, interruptible_environment, serving
from tests.support.resources import MISSING_ID

pytestmark = pytest.mark.slow

MANY = 20_000
"""The number of lines of an import that is not done before it is killed."""


@contextmanager
def importing(world: World, path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Start to import sprockets, and yield the process when the first batch is written."""
    command = [*COMMAND, "import", "sprockets", str(path), *arguments]
    variables = interruptible_environment() | {"SPROCKET_CLIENT_SERVER": world.served.address}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while world.written() < 500 and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def test_a_repeated_import_writes_nothing_twice(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 1200, {7: MISSING_ID})
    for created, found in ((1199, 0), (0, 1199), (0, 1199)):
        finished = world.run("sprockets", path, "--on-error", "continue")
        assert finished.output == f"{path}: {created} created, {found} already there, 1 refused\n"
    assert world.written() == 1199


def test_a_repeated_import_of_factories_writes_nothing_twice(world: World, tmp_path: Path) -> None:
    path, locations = tmp_path / "f.jsonl", {7: MISSING_ID, 700: MISSING_ID}
    rows = [{"display_name": str(n), "location_id": locations.get(n, world.location_id)} for n in range(1200)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for created, found in ((1198, 0), (0, 1198)):
        finished = world.run("factories", path, "--on-error", "continue")
        assert finished.output == f"{path}: {created} created, {found} already there, 2 refused\n"
        assert finished.errors.count("location_id: there is no location with id") == 2
    made = answer(world.served, "list", "factories", "--all", "--filter", f"location_id = {world.location_id}")
    names = sorted(int(each["display_name"]) for each in made if each["display_name"] != "Works")
    assert names == [n for n in range(1200) if n not in locations]


def test_an_import_that_stops_where_an_earlier_one_left_a_line_out_says_how_to_continue(
    world: World, tmp_path: Path
) -> None:
    path = world.sprockets(tmp_path / "s.csv", 400, {7: MISSING_ID})
    world.run("sprockets", path, "--on-error", "continue")
    finished = world.run("sprockets", path)
    assert finished.output == f"{path}: 0 created, 399 already there, 1 refused\n"
    assert "the first 400 resources are imported, except 1 refused ones" in finished.errors
    assert "continue with --skip 400" in finished.errors


def test_a_batch_whose_refused_line_has_become_valid_is_not_written_twice(world: World, tmp_path: Path) -> None:
    missing = str(uuid.uuid4())
    path = world.sprockets(tmp_path / "s.csv", 600, {7: missing})
    world.run("sprockets", path, "--on-error", "continue")
    measures = ["--teeth", "5", "--pitch-mm", "1", "--pitch-diameter-mm", "5", "--outside-diameter-mm", "6"]
    answer(world.served, "update", "sprocket-type", missing, "--display-name", "T", *measures, "--allow-missing")
    finished = world.run("sprockets", path, "--on-error", "continue")
    assert finished.status == 1
    assert finished.output == f"{path}: 0 created, 100 already there, 0 refused, 500 unclear\n"
    assert f"{path}:2: an earlier import wrote the lines from here to 501, except those it refused" in finished.errors
    assert world.written() == 599


def test_another_file_with_the_same_beginning_is_imported(world: World, tmp_path: Path) -> None:
    for count in (600, 601):
        path = world.sprockets(tmp_path / "s.csv", count)
        assert world.run("sprockets", path).output == f"{path}: {count} created, 0 already there, 0 refused\n"


def test_an_import_that_was_killed_is_completed_without_duplicates(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", MANY)
    with importing(world, path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
    assert 500 <= world.written() < MANY
    finished = world.run("sprockets", path)
    assert finished.status == 0
    assert str(MANY) not in finished.output
    assert world.written() == MANY
    with create_plain_engine(world.url).connect() as connection:
        names = connection.scalar(
            text("SELECT count(DISTINCT display_name) FROM sprocket WHERE display_name LIKE 'S%'")
        )
    assert names == MANY + 93


def test_an_import_survives_a_restart_of_the_server(own_world: World, tmp_path: Path) -> None:
    path = own_world.sprockets(tmp_path / "s.csv", MANY)
    with importing(own_world, path) as process:
        own_world.served.signal(signal.SIGKILL)
        own_world.served.process.wait(PATIENCE_SECONDS)
        with serving(database_url=own_world.url, listen=own_world.served.address):
            output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert output.endswith(", 0 refused\n")
    assert own_world.written() == MANY


def test_a_dry_run_of_an_import_writes_nothing(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 600)
    finished = world.run("sprockets", path, "--validate-only")
    assert finished.output == f"{path}: 600 could be created, 0 already there, 0 refused\n"
    assert world.written() == 0


def test_an_import_without_a_server_fails_with_one_line(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 6)
    finished = call(world.served, "import", "sprockets", str(path), "--server", "127.0.0.1:1", "--timeout", "0.5")
    finished.assert_refused()
    assert finished.errors.endswith("does not answer; is it running? `--server` names another address\n")
