"""The formats of files that can be imported, and the errors of invalid files."""

import json
from pathlib import Path

import pytest

from tests.cli.importing.world import HEAD, LOCATIONS, TABLE, World, csv_file
from tests.support.client_commands import answer
from tests.support.resources import MISSING_ID

pytestmark = pytest.mark.slow

CHALLENGE_SPROCKET = {"teeth": 5, "pitch_diameter": 5, "outside_diameter": 6, "pitch": 1}


# Formats.


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
def test_every_format_is_read_and_options_set_the_missing_fields(
    world: World, tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content, newline="")
    finished = world.run("locations", path, "--country-code", "DE", "--administrative-area", world.location_id)
    assert (finished.status, finished.output) == (0, f"{path}: 4 created, 0 already there, 0 refused\n"), finished
    made = answer(world.served, "list", "locations", "--filter", f'administrative_area = "{world.location_id}"')
    made.sort(key=lambda each: each["display_name"])  # several are written at a time, so in any order
    assert [{name: each[name] for name in LOCATIONS[0]} for each in made] == LOCATIONS


def test_an_array_longer_than_the_read_buffer_is_read_completely(world: World, tmp_path: Path) -> None:
    path = tmp_path / "types.json"
    measures = {"teeth": 5, "pitch_mm": 1, "pitch_diameter_mm": 5, "outside_diameter_mm": 6.25}
    path.write_text(json.dumps([{"display_name": f"T{n} {'é' * 40}", **measures} for n in range(700)], indent=1))
    finished = world.run("sprocket-types", path, "--on-error", "continue")
    assert finished.output == f"{path}: 700 created, 0 already there, 0 refused\n"
    made = answer(world.served, "list", "sprocket-types", "--filter", 'display_name = "T699*"')
    assert [each["display_name"] for each in made] == [f"T699 {'é' * 40}"]


# Invalid lines.

BAD = ["A,1 St,X,1,US", "B,,X,1,US", "C,1 St,X", 'D,"1\nSt",X,1,us', "E\udcff,1 St,X,1,US", "F,1 St,X,1,US"]


def bad_file(path: Path) -> Path:
    path.write_bytes("\n".join([HEAD, *BAD]).encode(errors="surrogateescape"))
    return path


@pytest.mark.parametrize("good_before", [0, 500])
def test_the_first_batch_with_an_invalid_line_stops_the_import_and_says_how_to_continue(
    world: World, tmp_path: Path, good_before: int
) -> None:
    path = csv_file(tmp_path / "bad.csv", *["A,1 St,X,1,US"] * good_before, BAD[0], BAD[1], BAD[-1])
    finished = world.run("locations", path, "--address-2", world.location_id)
    finished.assert_refused()
    assert finished.output == f"{path}: {good_before} created, 0 already there, 1 refused\n"
    assert f"{path}:{good_before + 3}: address: required, and more than white space\n" in finished.errors
    advice = f"the first {good_before} resources are imported. Correct the file and continue with --skip {good_before}"
    assert advice in finished.errors
    csv_file(path, *["A,1 St,X,1,US"] * good_before, BAD[0], "B,1 St,X,1,US", BAD[-1])
    finished = world.run("locations", path, "--skip", str(good_before), "--address-2", world.location_id)
    assert finished.output.endswith("3 created, 0 already there, 0 refused\n")
    made = answer(world.served, "list", "locations", "--all", "--filter", f'address_2 = "{world.location_id}"')
    assert [each["display_name"] for each in made] == [*"A" * good_before, *"ABF"]


def test_with_on_error_continue_invalid_lines_are_reported_with_number_and_field_and_skipped(
    world: World, tmp_path: Path
) -> None:
    path, refused = bad_file(tmp_path / "bad.csv"), tmp_path / "refused.jsonl"
    arguments = ["--on-error", "continue", "--refused", str(refused), "--address-2", world.location_id]
    finished = world.run("locations", path, *arguments)
    assert finished.status == 1
    assert finished.output == f"{path}: 2 created, 0 already there, 4 refused\n"
    assert finished.errors.splitlines()[1:] == [
        f"{path}:3: address: required, and more than white space",
        f"{path}:4: expected 5 cells, as in the first line, not 3",
        f"{path}:5: country_code: must be two capital letters, an ISO 3166-1 alpha-2 code",
        f'{path}:7: display_name: expected text, not "E\\udcff"',
    ]
    kept = [json.loads(line)["display_name"] for line in refused.read_text().splitlines()]
    assert kept == ["B", "D", "E\udcff"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("head.csv", "display_name,colour\nA,red\n", "head.csv:1: colour: there is no such field"),
        ("twice.csv", "city,city\nA,B\n", "twice.csv:1: expected the names of fields, without duplicates"),
        ("empty.csv", "", "empty.csv:1: expected the names of fields"),
        ("quote.csv", f'{HEAD}\nA,"1" St,X,1,US\n', "quote.csv:2: not valid CSV: "),
        ("broken.json", '[{"city": "X"},\n{"city" "X"}]', "broken.json:2: not valid JSON, and the rest"),
        ("cut.json", '[{"city": "X"},\n{"city": "X"}', "cut.json:2: not valid JSON, and the rest"),
        ("more.json", "[]\n]", "more.json:2: not valid JSON, and the rest"),
        ("broken.jsonl", '{"city": "X"}\n{"city"\n', "broken.jsonl:2: not valid JSON: "),
        ("number.json", "[1]", "number.json:1: expected a JSON object with fields"),
        ("unknown.json", '[{"colour": 1}]', "unknown.json:1: colour: there is no such field"),
        ("type.json", '[{"city": 1, "address": 2}]', "type.json:1: address: expected text, not 2"),
    ],
)
def test_an_invalid_file_is_reported_with_the_line(
    world: World, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    finished = world.run("locations", path, "--on-error", "continue")
    assert finished.status == 1
    assert "Traceback" not in finished.errors
    assert f"{tmp_path}/{expected}" in finished.errors


def test_a_batch_is_written_without_the_lines_that_the_server_refuses(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 1200, {7: MISSING_ID, 700: MISSING_ID, 701: "x"})
    finished = world.run("sprockets", path, "--on-error", "continue")
    assert finished.output == f"{path}: 1197 created, 0 already there, 3 refused\n"
    assert [line.partition(" ")[0] for line in finished.errors.splitlines()[1:]] == [
        f"{path}:{number}:" for number in (9, 702, 703)
    ]
    assert "sprocket_type_id: there is no sprocket_type with id" in finished.errors
    assert world.written() == 1197


# The files of the coding challenge.


def test_the_sprockets_of_the_challenge_are_sprocket_types(world: World, tmp_path: Path) -> None:
    path = tmp_path / "sprockets.json"
    path.write_text(json.dumps({"sprockets": [CHALLENGE_SPROCKET] * 3}))
    assert world.run("sprocket-types", path).output == f"{path}: 3 created, 0 already there, 0 refused\n"
    made = answer(world.served, "list", "sprocket-types", "--all", "--order-by", "create_time")[-3:]
    assert sorted(each["display_name"] for each in made) == [f"Sprocket type {n}" for n in (1, 2, 3)]
    measures = ("teeth", "pitch_mm", "pitch_diameter_mm", "outside_diameter_mm")
    assert [made[0][name] for name in measures] == [5, 1.0, 5.0, 6.0]
    finished = world.run("sprockets", path)
    assert "run `sprocket-grpc import sprocket-types`" in finished.errors


def test_the_factories_of_the_challenge_get_their_last_goal_and_a_note_about_their_history(
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
    assert finished.errors.count("only the last goal of each factory is imported, not its history") == 1
    made = answer(world.served, "list", "factories", "--filter", f"location_id = {world.location_id}")
    goals = {each["display_name"]: each["sprocket_production_goal"] for each in made[1:]}
    assert goals == {"Factory 1": "30", "Factory 2": "0"}


def test_the_output_of_list_can_be_imported_and_its_etags_and_times_are_ignored(world: World, tmp_path: Path) -> None:
    path = tmp_path / "locations.json"
    listed = answer(world.served, "list", "locations", "--filter", f"id = {world.location_id}")
    path.write_text(json.dumps([each | {"city": "Bern", "etag": '"gone"'} for each in listed]))
    finished = world.run("locations", path, "--keep-ids")
    assert finished.output == f"{path}: 0 created, 1 already there, 0 refused\n"
    assert answer(world.served, "get", "location", world.location_id)["city"] == "Bern"
