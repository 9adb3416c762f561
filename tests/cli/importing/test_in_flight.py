"""Several batches are written at a time, and an import that stops says exactly which ones."""

import json
import uuid
from pathlib import Path

import pytest

from tests.cli.importing.slow_server import serving_slowly
from tests.cli.importing.world import World, csv_file
from tests.support.client_commands import answer
from tests.support.command_line import Finished, run

pytestmark = pytest.mark.slow

BATCH, MOST_BATCHES = 500, 4
"""The number of lines of a batch, and the largest number of batches in flight."""

FULL = (3 * BATCH, 3 + MOST_BATCHES)
"""The first line of the first batch that has three others beside it in flight, and how many have begun by then.

One begins first, and two more each time that one is done.
"""

MOST_LINES = 32
"""The largest number of lines in flight with --keep-ids, where each is a call."""

FULL_OF_LINES = (MOST_LINES - 1, 2 * MOST_LINES - 1)
"""The same of lines."""


def imported(address: str, path: Path, *arguments: str) -> Finished:
    return run("import", "locations", str(path), *arguments, client_server=address)


def numbered(path: Path, count: int) -> Path:
    return csv_file(path, *(f"{n},1 St,X,1,US" for n in range(count)))


def firsts(*batches: int) -> list[int]:
    """Return the first lines of batches."""
    return [each * BATCH for each in batches]


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_several_batches_are_written_at_a_time(tmp_path: Path, on_error: str) -> None:
    path = numbered(tmp_path / "f.csv", 5200)
    with serving_slowly(FULL) as (server, address):
        finished = imported(address, path, "--on-error", on_error)
    assert (finished.status, finished.output) == (0, f"{path}: 5200 created, 0 already there, 0 refused\n")
    assert server.most == MOST_BATCHES
    assert sorted(server.begun) == firsts(*range(11))


def test_an_import_that_stops_writes_the_batches_that_were_in_flight_and_begins_nothing_more(tmp_path: Path) -> None:
    path, refused = numbered(tmp_path / "f.csv", 5200), tmp_path / "refused.jsonl"
    with serving_slowly(FULL, refused=[2010, 2012, 3001, 3999]) as (server, address):
        finished = imported(address, path, "--refused", str(refused))
    finished.assert_refused()
    assert sorted(set(server.begun)) == firsts(*range(8))
    assert finished.output == f"{path}: 2998 created, 0 already there, 2 refused\n"
    assert finished.errors.splitlines()[1:3] == [f"{path}:2012: city: required", f"{path}:2014: city: required"]
    assert "the first 3000 resources are imported, except 2 refused ones, because several are" in finished.errors
    assert "Correct and import the refused ones separately and continue with --skip 3000" in finished.errors
    assert [json.loads(line)["display_name"] for line in refused.read_text().splitlines()] == ["2010", "2012"]


def test_an_import_that_stops_at_the_last_batch_in_flight_writes_nothing_of_it(tmp_path: Path) -> None:
    path = numbered(tmp_path / "f.csv", 3600)
    with serving_slowly(FULL, refused=[3510]) as (_, address):
        finished = imported(address, path)
    assert finished.output == f"{path}: 3500 created, 0 already there, 1 refused\n"
    assert "the first 3500 resources are imported. Correct the file and continue with --skip 3500" in finished.errors


def test_a_file_that_is_wrong_from_the_beginning_is_refused_with_one_call(tmp_path: Path) -> None:
    with serving_slowly(FULL, refused=range(5200)) as (server, address):
        finished = imported(address, numbered(tmp_path / "f.csv", 5200))
    finished.assert_refused()
    assert server.begun == [0]
    assert "the first 0 resources are imported. Correct the file and continue with --skip 0" in finished.errors


def with_ids(path: Path, *ids: uuid.UUID) -> Path:
    path.write_text("id,display_name\n" + "".join(f"{each},{n}\n" for n, each in enumerate(ids)))
    return path


def test_several_lines_with_ids_are_written_at_a_time(tmp_path: Path) -> None:
    path = with_ids(tmp_path / "f.csv", *(uuid.uuid4() for _ in range(100)))
    with serving_slowly(FULL_OF_LINES) as (server, address):
        finished = imported(address, path, "--keep-ids", "--on-error", "continue")
    assert finished.output == f"{path}: 100 created, 0 already there, 0 refused\n"
    assert server.most == MOST_LINES


def test_lines_with_the_same_id_overwrite_each_other_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = with_ids(tmp_path / "f.csv", *[uuid.uuid4()] * 30)
    with serving_slowly(FULL_OF_LINES) as (server, address):
        finished = imported(address, path, "--keep-ids")
    assert finished.status == 0, finished
    assert (server.most, server.begun) == (1, [*range(30)])


def test_an_import_that_stopped_twice_is_completed_without_duplicates(world: World, tmp_path: Path) -> None:
    mark = ("--address-2", world.location_id)  # of the locations of this test
    path = csv_file(tmp_path / "f.csv", *(f"{n},{'' if n == 600 else '1 St'},X,1,US" for n in range(1700)))
    refused = tmp_path / "refused.jsonl"
    for created, found in ((1499, 0), (0, 1499)):
        finished = world.run("locations", path, *mark, "--refused", str(refused))
        assert finished.output == f"{path}: {created} created, {found} already there, 1 refused\n"
        assert finished.errors.endswith("continue with --skip 1500, or skip invalid lines with --on-error continue\n")
    refused.write_text(refused.read_text().replace('"city"', '"address": "1 St", "city"'))
    for rest in ((refused,), (path, "--skip", "1500")):
        assert world.run("locations", *rest, *mark).status == 0
    made = answer(world.served, "list", "locations", "--all", "--filter", f'address_2 = "{world.location_id}"')
    assert sorted(int(each["display_name"]) for each in made) == [*range(1700)]
