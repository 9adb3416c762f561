"""`sprocket-grpc import` and `export`: all of a file is written once, however often it is imported."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import CreateFactoryRequest, Factory
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_type_pb2 import CreateSprocketTypeRequest
from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceStub
from sprocket_grpc.database import create_plain_engine
from sprocket_grpc.testing.postgres import new_database
from tests.client_commands import answer, call, seeded_server
from tests.command_line import COMMAND, PATIENCE_SECONDS, Finished, ServeProcess, environment, serving
from tests.resources import MISSING_ID, location, sprocket_type

LOCATIONS = [
    {"display_name": f"Site {n}", "address": f"{n} Main St", "city": "X", "postal_code": "1"} for n in range(4)
]
TABLE = "".join(f"{','.join(row)}\n" for row in [[*LOCATIONS[0]], *(each.values() for each in LOCATIONS)])
HEAD = "display_name,address,city,postal_code,country_code"
CHALLENGE_SPROCKET = {"teeth": 5, "pitch_diameter": 5, "outside_diameter": 6, "pitch": 1}


class World(NamedTuple):
    """A server, and a factory and a type on it that only one test makes sprockets of.

    Attributes:
        served: The server.
        url: Its database.
        location_id: Where the factory stands.
        factory_id: The factory.
        sprocket_type_id: The type.
    """

    served: ServeProcess
    url: str
    location_id: str
    factory_id: str
    sprocket_type_id: str

    def run(self, plural: str, path: Path, *arguments: str) -> Finished:
        """Import a file."""
        return call(self.served, "import", plural, str(path), *arguments)

    def written(self) -> int:
        """Count the sprockets that are stored."""
        with create_plain_engine(self.url).connect() as connection:
            statement = text("SELECT count(*) FROM sprocket WHERE factory_id = :id")
            return int(connection.scalar(statement, {"id": self.factory_id}) or 0)

    def sprockets(self, path: Path, count: int, wrong: dict[int, str] | None = None) -> Path:
        """Write a file of sprockets, some of them of a type that is not there."""
        types = (wrong or {}).get
        lines = [f"S{n},{self.factory_id},{types(n, self.sprocket_type_id)}\n" for n in range(count)]
        path.write_text("display_name,factory_id,sprocket_type_id\n" + "".join(lines))
        return path


def world_of(served: ServeProcess, url: str) -> World:
    with grpc.insecure_channel(served.address) as channel:
        at = LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=location())).location.id
        factory = Factory(display_name="Works", location_id=at)
        made = FactoryServiceStub(channel).CreateFactory(CreateFactoryRequest(factory=factory)).factory
        types = SprocketTypeServiceStub(channel)
        kind = types.CreateSprocketType(CreateSprocketTypeRequest(sprocket_type=sprocket_type())).sprocket_type
    return World(served, url, at, made.id, kind.id)


@pytest.fixture(scope="module")
def seeded(postgres: str, template: str) -> Iterator[tuple[ServeProcess, str]]:
    with new_database(postgres, template) as url, seeded_server(url) as served:
        yield served, url


@pytest.fixture
def world(seeded: tuple[ServeProcess, str]) -> World:
    return world_of(*seeded)


@pytest.fixture
def own_world(database_url: str) -> Iterator[World]:
    """One whose server a test kills, or whose data it takes all of."""
    with seeded_server(database_url) as served:
        yield world_of(served, database_url)


@contextmanager
def importing(world: World, path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Begin to import sprockets, and go on when some are written and others are not."""
    command = [*COMMAND, "import", "sprockets", str(path), *arguments]
    variables = environment({"client_server": world.served.address})
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while world.written() < 500 and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def csv_file(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path


# What files may look like.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("array.json", json.dumps(LOCATIONS)),
        ("pretty.json", json.dumps(LOCATIONS, indent=4)),
        ("lines.jsonl", "\n\n".join(map(json.dumps, LOCATIONS))),
        ("one after the other.json", "".join(map(json.dumps, LOCATIONS))),
        ("response.json", json.dumps({"locations": LOCATIONS, "nextPageToken": ""})),
        ("names of JSON.JSON", json.dumps(LOCATIONS).replace("display_name", "displayName")),
        ("table.csv", TABLE),
        ("with a mark.csv", "\ufeff" + TABLE.replace("\n", "\r\n")),
    ],
    ids=lambda value: value if "." in value and len(value) < 30 else "",
)
def test_every_shape_of_file_is_read_and_options_give_what_it_does_not_say(
    world: World, tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content, newline="")
    finished = world.run("locations", path, "--country-code", "DE", "--administrative-area", world.location_id)
    assert (finished.status, finished.output) == (0, f"{path}: 4 created, 0 already there, 0 refused\n"), finished
    made = answer(world.served, "list", "locations", "--filter", f'administrative_area = "{world.location_id}"')
    assert [{name: each[name] for name in LOCATIONS[0]} for each in made] == LOCATIONS


def test_an_array_longer_than_what_is_read_at_once_is_read_in_whole(world: World, tmp_path: Path) -> None:
    path = tmp_path / "types.json"
    measures = {"teeth": 5, "pitch_mm": 1, "pitch_diameter_mm": 5, "outside_diameter_mm": 6.25}
    path.write_text(json.dumps([{"display_name": f"T{n} {'é' * 40}", **measures} for n in range(700)], indent=1))
    finished = world.run("sprocket-types", path, "--on-error", "continue")
    assert finished.output == f"{path}: 700 created, 0 already there, 0 refused\n"
    made = answer(world.served, "list", "sprocket-types", "--filter", 'display_name = "T699*"')
    assert [each["display_name"] for each in made] == [f"T699 {'é' * 40}"]


# What is wrong with lines.

BAD = ["A,1 St,X,1,US", "B,,X,1,US", "C,1 St,X", 'D,"1\nSt",X,1,us', "E\udcff,1 St,X,1,US", "F,1 St,X,1,US"]


def bad_file(path: Path) -> Path:
    path.write_bytes("\n".join([HEAD, *BAD]).encode(errors="surrogateescape"))
    return path


def test_the_first_bad_line_stops_the_import_and_tells_how_to_go_on(world: World, tmp_path: Path) -> None:
    path = bad_file(tmp_path / "bad.csv")
    finished = world.run("locations", path, "--address-2", world.location_id)
    finished.assert_refused()
    assert finished.output == f"{path}: 1 created, 0 already there, 1 refused\n"
    assert f"{path}:3: address: required, and more than white space\n" in finished.errors
    assert "the first 1 are in. Correct the file, and go on with --skip 1" in finished.errors
    csv_file(path, BAD[0], "B,1 St,X,1,US", BAD[-1])
    finished = world.run("locations", path, "--skip", "1", "--address-2", world.location_id)
    assert finished.output.endswith("2 created, 0 already there, 0 refused\n")
    made = answer(world.served, "list", "locations", "--filter", f'address_2 = "{world.location_id}"')
    assert [each["display_name"] for each in made] == ["A", "B", "F"]


def test_bad_lines_are_told_with_number_and_field_and_left_out_by_choice(world: World, tmp_path: Path) -> None:
    path, refused = bad_file(tmp_path / "bad.csv"), tmp_path / "refused.jsonl"
    arguments = ["--on-error", "continue", "--refused", str(refused), "--address-2", world.location_id]
    finished = world.run("locations", path, *arguments)
    assert finished.status == 1
    assert finished.output == f"{path}: 2 created, 0 already there, 4 refused\n"
    assert finished.errors.splitlines()[1:] == [
        f"{path}:3: address: required, and more than white space",
        f"{path}:4: expected 5 cells, as in the first line, not 3",
        f"{path}:5: country_code: must be two capital letters, an ISO 3166-1 alpha-2 code",
        f'{path}:7: display_name: expected text, not "E\N{REPLACEMENT CHARACTER}"',
    ]
    kept = [json.loads(line)["display_name"] for line in refused.read_text().splitlines()]
    assert kept == ["B", "D", "E\udcff"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("head.csv", "display_name,colour\nA,red\n", "head.csv:1: colour: there is no such field"),
        ("twice.csv", "city,city\nA,B\n", "twice.csv:1: expected the names of fields, each once"),
        ("empty.csv", "", "empty.csv:1: expected the names of fields"),
        ("quote.csv", f'{HEAD}\nA,"1" St,X,1,US\n', "quote.csv:2: this is no CSV: "),
        ("broken.json", '[{"city": "X"},\n{"city" "X"}]', "broken.json:2: this is no JSON, and the rest"),
        ("cut.json", '[{"city": "X"},\n{"city": "X"}', "cut.json:2: this is no JSON, and the rest"),
        ("more.json", "[]\n]", "more.json:2: this is no JSON, and the rest"),
        ("broken.jsonl", '{"city": "X"}\n{"city"\n', "broken.jsonl:2: this is no JSON: "),
        ("number.json", "[1]", "number.json:1: expected a JSON object with fields"),
        ("unknown.json", '[{"colour": 1}]', "unknown.json:1: colour: there is no such field"),
        ("type.json", '[{"city": 1, "address": 2}]', "type.json:1: address: expected text, not 2"),
    ],
)
def test_what_is_no_file_of_resources_is_told_where(
    world: World, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    finished = world.run("locations", path, "--on-error", "continue")
    assert finished.status == 1
    assert "Traceback" not in finished.errors
    assert f"{tmp_path}/{expected}" in finished.errors


def test_a_batch_is_written_without_what_the_server_refuses(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 1200, {7: MISSING_ID, 700: MISSING_ID, 701: "x"})
    finished = world.run("sprockets", path, "--on-error", "continue")
    assert finished.output == f"{path}: 1197 created, 0 already there, 3 refused\n"
    assert [line.partition(" ")[0] for line in finished.errors.splitlines()[1:]] == [
        f"{path}:{number}:" for number in (9, 702, 703)
    ]
    assert "sprocket_type_id: there is no sprocket_type with id" in finished.errors
    assert world.written() == 1197


# The same file again.


def test_a_file_is_written_once_however_often_it_is_imported(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 1200, {7: MISSING_ID})
    for created, found in ((1199, 0), (0, 1199), (0, 1199)):
        finished = world.run("sprockets", path, "--on-error", "continue")
        assert finished.output == f"{path}: {created} created, {found} already there, 1 refused\n"
    assert world.written() == 1199


def test_what_was_refused_and_would_not_be_any_more_does_not_bring_the_others_in_twice(
    world: World, tmp_path: Path
) -> None:
    missing = str(uuid.uuid4())
    path = world.sprockets(tmp_path / "s.csv", 600, {7: missing})
    world.run("sprockets", path, "--on-error", "continue")
    measures = ["--teeth", "5", "--pitch-mm", "1", "--pitch-diameter-mm", "5", "--outside-diameter-mm", "6"]
    answer(world.served, "update", "sprocket-type", missing, "--display-name", "T", *measures, "--allow-missing")
    finished = world.run("sprockets", path, "--on-error", "continue")
    assert finished.status == 1
    assert finished.output == f"{path}: 0 created, 100 already there, 0 refused, 500 unclear\n"
    assert f"{path}:2: an earlier import wrote the lines up to 501, but not those it refused" in finished.errors
    assert world.written() == 599


def test_another_file_that_begins_alike_is_written(world: World, tmp_path: Path) -> None:
    for count in (600, 601):
        path = world.sprockets(tmp_path / "s.csv", count)
        assert world.run("sprockets", path).output == f"{path}: {count} created, 0 already there, 0 refused\n"


def test_an_import_that_was_killed_is_completed_without_duplicates(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 6000)
    with importing(world, path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
    assert 500 <= world.written() < 6000
    finished = world.run("sprockets", path)
    assert finished.status == 0
    assert "6000" not in finished.output
    assert world.written() == 6000
    with create_plain_engine(world.url).connect() as connection:
        names = connection.scalar(
            text("SELECT count(DISTINCT display_name) FROM sprocket WHERE display_name LIKE 'S%'")
        )
    assert names == 6000 + 93


def test_an_import_outlives_a_server_that_is_killed_and_started_again(own_world: World, tmp_path: Path) -> None:
    path = own_world.sprockets(tmp_path / "s.csv", 6000)
    with importing(own_world, path) as process:
        own_world.served.signal(signal.SIGKILL)
        own_world.served.process.wait(PATIENCE_SECONDS)
        with serving(database_url=own_world.url, listen=own_world.served.address):
            output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert output.endswith(", 0 refused\n")
    assert own_world.written() == 6000


def test_an_import_that_is_only_tried_writes_nothing(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 600)
    finished = world.run("sprockets", path, "--validate-only")
    assert finished.output == f"{path}: 600 could be created, 0 already there, 0 refused\n"
    assert world.written() == 0


def test_an_import_without_a_server_is_one_clear_line(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 6)
    finished = call(world.served, "import", "sprockets", str(path), "--server", "127.0.0.1:1", "--timeout", "0.5")
    finished.assert_refused()
    assert finished.errors.endswith("does not answer; is it running? `--server` names another address\n")


# export.


def test_all_that_is_exported_can_be_imported_into_an_empty_system_and_is_the_same(
    own_world: World, postgres: str, template: str, tmp_path: Path
) -> None:
    awkward = ["--display-name", 'a "b", c\n\N{GRINNING FACE}']
    measures = ["--teeth", "7", "--pitch-mm", "9.525", "--pitch-diameter-mm", "1e-300", "--outside-diameter-mm", "0.1"]
    answer(own_world.served, "create", "sprocket-type", *awkward, *measures)
    names = ["locations.csv", "sprocket-types.csv", "factories.json", "sprockets.jsonl"]
    exported(own_world.served, tmp_path / "first", names)
    with new_database(postgres, template) as url, serving(database_url=url) as other:
        for name in names:
            finished = call(other, "import", name.partition(".")[0], str(tmp_path / "first" / name), "--keep-ids")
            assert finished.status == 0, finished
        exported(other, tmp_path / "second", names)
        actuals = [each["sprocket_production_actual"] for each in answer(other, "list", "factories", "--all")]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert actuals[:3] == ["32", "30", "31"]
    with (tmp_path / "first" / "sprocket-types.csv").open(newline="") as file:
        assert awkward[1] in file.read().replace('""', '"')


def exported(served: ServeProcess, directory: Path, names: list[str]) -> None:
    directory.mkdir()
    for name in names:
        finished = call(served, "export", name.partition(".")[0], str(directory / name))
        assert (finished.status, finished.output) == (0, f"wrote {directory / name}\n"), finished


def test_an_export_has_every_page_and_what_was_asked_for(world: World, tmp_path: Path) -> None:
    world.run("sprockets", world.sprockets(tmp_path / "s.csv", 2500))
    path = tmp_path / "out.csv"
    chosen = f"factory_id = {world.factory_id}"
    call(world.served, "export", "sprockets", str(path), "--filter", chosen, "--columns", "display_name")
    assert path.read_text() == "display_name\n" + "".join(f"S{n}\n" for n in range(2500))


def test_an_export_that_fails_leaves_the_file_as_it_was(world: World, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    call(world.served, "export", "sprockets", str(path), "--filter", "nope = 1").assert_refused()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


# The files of the coding challenge.


def test_the_sprockets_of_the_challenge_are_types(world: World, tmp_path: Path) -> None:
    path = tmp_path / "sprockets.json"
    path.write_text(json.dumps({"sprockets": [CHALLENGE_SPROCKET] * 3}))
    assert world.run("sprocket-types", path).output == f"{path}: 3 created, 0 already there, 0 refused\n"
    made = answer(world.served, "list", "sprocket-types", "--all", "--order-by", "create_time")[-3:]
    assert [each["display_name"] for each in made] == [f"Sprocket type {n}" for n in (1, 2, 3)]
    measures = ("teeth", "pitch_mm", "pitch_diameter_mm", "outside_diameter_mm")
    assert [made[0][name] for name in measures] == [5, 1.0, 5.0, 6.0]
    told = world.run("sprockets", path)
    assert "say `sprocket-grpc import sprocket-types`" in told.errors


def test_the_factories_of_the_challenge_get_their_last_goal_and_their_history_is_said_to_be_left_out(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "factories.json"
    charts = [
        {"sprocket_production_actual": [32, 29], "sprocket_production_goal": [32, goal], "time": [1, 2]}
        for goal in (30, 0)
    ]
    path.write_text(json.dumps({"factories": [{"factory": {"chart_data": each}} for each in [*charts, {}]]}))
    finished = world.run("factories", path, "--location-id", world.location_id, "--on-error", "continue")
    assert finished.output == f"{path}: 2 created, 0 already there, 1 refused\n"
    assert finished.errors.count("the history of the factories is left out") == 1
    made = answer(world.served, "list", "factories", "--filter", f"location_id = {world.location_id}")
    goals = {each["display_name"]: each["sprocket_production_goal"] for each in made[1:]}
    assert goals == {"Factory 1": "30", "Factory 2": "0"}


def test_what_a_list_prints_is_read_too_without_its_etags_and_times(world: World, tmp_path: Path) -> None:
    path = tmp_path / "locations.json"
    listed = answer(world.served, "list", "locations", "--filter", f"id = {world.location_id}")
    path.write_text(json.dumps([each | {"city": "Bern", "etag": '"gone"'} for each in listed]))
    finished = world.run("locations", path, "--keep-ids")
    assert finished.output == f"{path}: 0 created, 1 already there, 0 refused\n"
    assert answer(world.served, "get", "location", world.location_id)["city"] == "Bern"
