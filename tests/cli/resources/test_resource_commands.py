"""`sprocket-grpc get|list|create|update|delete`: output for people and programs, and errors."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprocket_grpc.cli.resources.catalogue import catalogue
from sprocket_grpc.testing.postgres import new_database
from tests.support.client_commands import LOCATION, answer, call, rows, seeded_server
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, ServeProcess, environment, run
from tests.support.resources import CASES, MISSING_ID, Case

NAMES = [each.name.replace("_", "-") for each in CASES]
PLURALS = [each.plural.replace("_", "-") for each in CASES]
SAMPLES = [
    ("location", "locations"),
    ("sprocket-type", "sprocket-types"),
    ("factory", "factories"),
    ("sprocket", "sprockets"),
]


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data. Tests only add to it."""
    with new_database(postgres, template) as url, seeded_server(url) as served:
        yield served


def ids(served: ServeProcess, plural: str) -> list[str]:
    """Return the ids of the sample data."""
    listed = answer(served, "list", plural, "--filter", 'create_time < "2022-01-01T00:00:00Z"', "--columns", "id")
    return [each["id"] for each in listed]


# The contract.


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_resource_has_all_its_methods_and_writable_fields(case: Case) -> None:
    resource = catalogue()[case.name.replace("_", "-")]
    assert {"Create", "Get", "List", "Update", "Delete", "BatchGet"} <= {*resource.methods}
    written = {each.name for each in resource.writable}
    assert "display_name" in written
    assert not written & {"id", "create_time", "update_time", "etag", "sprocket_production_actual"}


def test_the_options_of_a_resource_are_its_fields_with_the_comments_of_the_contract() -> None:
    output = " ".join(run("create", "sprocket-type", "--help").output.split())
    assert "--teeth INTEGER The number of teeth. Required. 1 to 10,000." in output
    assert "--pitch-mm NUMBER" in output
    assert "--etag" not in output


@pytest.mark.parametrize("name", ["sprocket-type", "sprocket_types", "Sprocket-Types"])
def test_a_resource_is_known_by_its_singular_and_plural(served: ServeProcess, name: str) -> None:
    finished = call(served, "list", name, "--all", "--output", "csv", "--columns", "display_name")
    assert "Sprocket type 1\n" in finished.output


def test_an_unknown_resource_is_refused_with_the_known_ones() -> None:
    finished = run("list", "cogs")
    assert finished.status == 2
    assert "'cogs'" in finished.errors
    for plural in PLURALS:
        assert plural in finished.errors


# get and list.


@pytest.mark.parametrize(("name", "plural"), SAMPLES)
def test_get_returns_one_or_several_resources_in_the_order_of_the_ids(
    served: ServeProcess, name: str, plural: str
) -> None:
    listed = answer(served, "list", plural, "--all")[:3]
    assert answer(served, "get", name, listed[0]["id"]) == listed[0]
    backwards = [each["id"] for each in reversed(listed)]
    assert [each["id"] for each in answer(served, "get", name, *backwards)] == backwards


def test_json_has_all_fields_with_the_names_of_the_contract(served: ServeProcess) -> None:
    [factory] = answer(served, "get", "factory", *ids(served, "factories")[:1] * 2)[:1]
    assert factory | {"etag": ""} == {
        "id": "017722b1-ddd0-7003-8000-000000000001",
        "create_time": "2021-01-21T02:06:58Z",
        "update_time": "2021-01-21T02:06:58Z",
        "etag": "",
        "display_name": "Factory 1",
        "location_id": "017722b1-ddd0-7001-8000-000000000001",
        "sprocket_production_goal": "32",
        "sprocket_production_actual": "32",
    }


def test_a_table_in_a_pipe_is_aligned_and_not_shortened(served: ServeProcess) -> None:
    finished = call(served, "list", "factories", "--columns", "display_name,id,location_id", "--limit", "3")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output.splitlines() == [
        "DISPLAY_NAME  ID                                    LOCATION_ID",
        "Factory 1     017722b1-ddd0-7003-8000-000000000001  017722b1-ddd0-7001-8000-000000000001",
        "Factory 2     0177234a-7450-7003-8000-000000000002  0177234a-7450-7001-8000-000000000002",
        "Factory 3     01772940-5550-7003-8000-000000000003  01772940-5550-7001-8000-000000000003",
    ]


def test_one_resource_is_printed_as_a_table_of_its_fields(served: ServeProcess) -> None:
    finished = call(served, "get", "factory", ids(served, "factories")[0], "--columns", "display_name,location_id")
    assert finished.output == "display_name  Factory 1\nlocation_id   017722b1-ddd0-7001-8000-000000000001\n"


def test_a_list_is_filtered_and_ordered_by_the_server(served: ServeProcess) -> None:
    arguments = ["--filter", 'display_name = "*-3"', "--order-by", "display_name desc", "--columns", "display_name"]
    finished = call(served, "list", "sprockets", *arguments, "--output", "csv")
    assert finished.output == "display_name\nSprocket 3-3\nSprocket 2-3\nSprocket 1-3\n"


def test_a_list_reads_pages_up_to_its_limit_and_says_if_there_are_more(served: ServeProcess) -> None:
    everything = answer(served, "list", "sprockets", "--all", "--page-size", "7")
    assert len({each["id"] for each in everything}) == len(everything) == 93
    some = call(served, "list", "sprockets", "--limit", "10", "--page-size", "4", "--output", "csv", "--columns", "id")
    assert [each["id"] for each in rows(some.output)] == [each["id"] for each in everything[:10]]
    assert some.errors == "there are more sprockets: pass --limit or --all to list them\n"


def test_the_line_about_more_resources_is_not_shown_within_the_json(served: ServeProcess) -> None:
    command = [*COMMAND, "list", "sprockets", "--limit", "1", "--output", "json", "--server", served.address]
    with subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        shown, _ = process.communicate(timeout=PATIENCE_SECONDS)
    listed, _, after = shown.decode().rpartition("]\n")
    assert len(json.loads(f"{listed}]")) == 1
    assert after == "there are more sprockets: pass --limit or --all to list them\n"


def test_control_characters_in_a_field_do_not_reach_the_terminal(served: ServeProcess) -> None:
    made = answer(served, "create", "location", *LOCATION, "--display-name", "a\x1b[2Jb\nc")
    for arguments in (["get", "location", made["id"]], ["list", "locations", "--filter", f"id = {made['id']}"]):
        finished = call(served, *arguments)
        assert "\x1b" not in finished.output
        assert r"a\x1b[2Jb\nc" in finished.output


# create, update and delete.


def test_options_override_the_fields_of_a_file(served: ServeProcess, tmp_path: Path) -> None:
    path = tmp_path / "location.json"
    path.write_text(json.dumps({"displayName": "Old", "city": "Berlin", "country_code": "DE"}))
    made = answer(served, "create", "location", *LOCATION, "--file", str(path))
    assert (made["city"], made["country_code"], made["display_name"]) == ("Springfield", "US", "Springfield")
    path.write_text(json.dumps({name: made[name] for name in made if made[name]} | {"city": "Bern"}))
    assert answer(served, "create", "location", "--file", str(path))["city"] == "Bern"


def test_a_file_may_be_standard_input(served: ServeProcess) -> None:
    values = json.dumps({"display_name": "Five", "teeth": 5, "pitch_mm": 1, "pitch_diameter_mm": 5})
    command = [*COMMAND, "create", "sprocket-type", "--file", "-", "--outside-diameter-mm", "6.5", "--output", "csv"]
    done = subprocess.run(
        command,
        input=values,
        capture_output=True,
        check=True,
        env=environment({"client_server": served.address}),
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert [(each["teeth"], each["outside_diameter_mm"]) for each in rows(done.stdout)] == [("5", "6.5")]


def test_an_update_changes_only_the_named_fields_and_clears_empty_ones(served: ServeProcess) -> None:
    made = answer(served, "create", "location", *LOCATION, "--address-2", "Floor 2")
    changed = answer(served, "update", "location", made["id"], "--city", "Shelbyville", "--address-2", "")
    times = {name: changed[name] for name in ("etag", "update_time")}
    assert changed == made | {"city": "Shelbyville", "address_2": ""} | times
    assert changed["etag"] != made["etag"]


def test_the_output_of_get_can_be_edited_and_written_back_unless_the_resource_has_changed(
    served: ServeProcess, tmp_path: Path
) -> None:
    made = answer(served, "create", "location", *LOCATION)
    path = tmp_path / "location.json"
    path.write_text(json.dumps(made | {"city": "Bern"}))
    assert answer(served, "update", "location", made["id"], "--file", str(path))["city"] == "Bern"
    again = call(served, "update", "location", made["id"], "--file", str(path))
    again.assert_refused()
    assert "get the resource, check what has changed, and try again" in again.errors


def test_an_update_can_create_a_missing_resource(served: ServeProcess) -> None:
    identifier = "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d66"
    call(served, "update", "location", identifier, *LOCATION).assert_refused()
    assert answer(served, "update", "location", identifier, *LOCATION, "--allow-missing")["id"] == identifier


def test_a_deletion_requires_confirmation_and_force_for_referring_resources(served: ServeProcess) -> None:
    location = answer(served, "create", "location", *LOCATION)["id"]
    answer(served, "create", "factory", "--display-name", "Works", "--location-id", location)
    unconfirmed = call(served, "delete", "location", location)
    assert (unconfirmed.status, "not a terminal: pass --yes to confirm" in unconfirmed.errors) == (2, True)
    used = call(served, "delete", "location", location, "--yes")
    used.assert_refused()
    assert (
        "still used by at least one factory; delete the resources that refer to it first, or pass --force"
        in used.errors
    )
    dry_run = call(served, "delete", "location", location, "--force", "--validate-only")
    assert dry_run.output == f"would delete location {location}\n"
    gone = call(served, "delete", "location", location, "--force", "--yes")
    assert gone.output == f"deleted location {location}\n"
    call(served, "delete", "location", location, "--yes").assert_refused()
    assert call(served, "delete", "location", location, "--yes", "--allow-missing").status == 0


def test_a_dry_run_changes_nothing(served: ServeProcess) -> None:
    before = answer(served, "list", "locations", "--all")
    assert answer(served, "create", "location", *LOCATION, "--validate-only")["city"] == "Springfield"
    assert answer(served, "list", "locations", "--all") == before


def test_a_write_with_the_same_request_id_gets_the_same_response(served: ServeProcess) -> None:
    request_id = ("--request-id", "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d77")
    first, second = (answer(served, "create", "location", *LOCATION, *request_id) for _ in range(2))
    assert first == second


# Errors.


def test_every_invalid_field_is_named_with_its_violation(served: ServeProcess) -> None:
    finished = call(served, "create", "location", "--display-name", " ", "--country-code", "usa")
    finished.assert_refused()
    assert finished.errors.count("\n") == 1
    for field in ("display_name", "address", "city", "postal_code", "country_code"):
        assert f"location.{field}: " in finished.errors
    assert "create location --help` describes every field" in finished.errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["get", "factory", MISSING_ID], f"no factory has the id {MISSING_ID}; `sprocket-grpc list` shows"),
        (["get", "factory", "one"], "no factory has the display name 'one'; `sprocket-grpc list factories` shows"),
        (["list", "factories", "--filter", "nope = 1"], "filter: "),
        (["create", "factory", "--display-name", "W", "--location-id", MISSING_ID], "factory.location_id: there is no"),
        (["create", "location", "--request-id", "x", *LOCATION], "request_id: must be a UUID"),
    ],
)
def test_an_error_of_the_server_is_one_line_with_the_field_or_id(
    served: ServeProcess, arguments: list[str], expected: str
) -> None:
    finished = call(served, *arguments)
    finished.assert_refused()
    assert expected in finished.errors
    assert finished.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["create", "sprocket-type", "--teeth", "five"], "'--teeth': expected a whole number of up to 32 bits"),
        (["create", "sprocket-type", "--teeth", "3000000000"], "'--teeth': expected a whole number of up to 32 bits"),
        (["create", "sprocket-type", "--pitch-mm", "x"], "'--pitch-mm': expected a number"),
        (["list", "factories", "--columns", "id,nmae"], "there is no such field"),
        (["list", "factories", "--columns", "display_nam"], "did you mean display_name?"),
        (["update", "location", MISSING_ID], "nothing to update"),
        (["delete", "location", "1", "2", "--etag", "x"], "--etag and --request-id apply to a single LOCATION"),
        (["list", "factories", "--timeout", "0"], "--timeout"),
        (["list", "factories", "--timeout", "nan"], "'--timeout'"),
        (["list", "factories", "--page-size", "2147483648"], "'--page-size'"),
    ],
)
def test_invalid_options_are_usage_errors(arguments: list[str], expected: str) -> None:
    finished = run(*arguments, client_server="127.0.0.1:1")
    assert finished.status == 2
    assert expected in finished.errors


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not valid JSON: "),
        (f'{{"city": {"[" * 100_000}', "not valid JSON: "),
        ("[]", "expected a JSON object"),
        ('{"colour": 1}', "colour: there is no such field"),
        ('{"city": 1}', "city: expected text, not 1"),
        ('{"city": "\\ud800"}', "city: expected text, not "),
    ],
)
def test_an_invalid_file_is_reported(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "location.json"
    path.write_text(content)
    finished = run("create", "location", "--file", str(path), client_server="127.0.0.1:1")
    finished.assert_refused()
    assert expected in finished.errors
