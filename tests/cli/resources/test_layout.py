"""Tables fit the terminal: headings of several lines, shortened texts, and then fewer columns, which are named."""

from collections.abc import Iterator

import pytest

from sprocket_grpc.cli.resources.catalogue import catalogue
from sprocket_grpc.cli.resources.layout import lay_out
from sprocket_grpc.testing.postgres import new_database
from tests.support.client_commands import LOCATION, answer, call, seeded_server
from tests.support.command_line import ServeProcess
from tests.support.terminal import run_in_terminal

ECHO = "n\n"
"""What is typed in the terminal, which shows it."""

FACTORY = catalogue()["factory"].descriptor.fields_by_name
ID = "017722b1-ddd0-7003-8000-000000000001"


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data. Tests only add to it."""
    with new_database(postgres, template) as url, seeded_server(url) as served:
        answer(
            served, "create", "location", *LOCATION, "--display-name", "a name of sixty characters, the longest but 3"
        )
        yield served


@pytest.mark.parametrize("columns", [80, 60, 100, 140])
@pytest.mark.parametrize("plural", ["locations", "sprocket-types", "factories", "sprockets", "audit-entries"])
def test_no_line_of_a_list_is_wider_than_the_terminal(served: ServeProcess, plural: str, columns: int) -> None:
    finished = run_in_terminal("list", plural, client_server=served.address, columns=columns)
    assert finished.status == 0, finished
    assert max(map(len, finished.output.splitlines())) <= columns
    assert max(map(len, finished.errors.splitlines()), default=0) <= max(columns, 80)


def test_the_columns_that_a_narrow_terminal_leaves_out_are_named(served: ServeProcess) -> None:
    narrow = run_in_terminal("list", "factories", client_server=served.address, columns=80)
    assert narrow.output.removeprefix(ECHO).splitlines()[:5] == [
        "ID                                    DISPLAY_NAME    SPROCKET_    SPROCKET_",
        "                                                    PRODUCTION_  PRODUCTION_",
        "                                                           GOAL       ACTUAL",
        f"{ID}  Factory 1              32           32",
        "0177234a-7450-7003-8000-000000000002  Factory 2              32           30",
    ]
    assert "left out, because the terminal is narrow: location_id" in narrow.errors
    wide = run_in_terminal("list", "factories", client_server=served.address, columns=200)
    assert "LOCATION_ID" in wide.output
    assert wide.errors == ""


def test_columns_that_are_asked_for_are_never_left_out(served: ServeProcess) -> None:
    chosen = ["--columns", "id,location_id,display_name"]
    finished = run_in_terminal("list", "factories", *chosen, client_server=served.address, columns=80)
    assert len(finished.output.removeprefix(ECHO).splitlines()[0].split()) == 3
    assert "left out" not in finished.errors


def test_numbers_are_aligned_to_the_right_and_times_are_short(served: ServeProcess) -> None:
    chosen = ["--columns", "sprocket_production_goal,create_time", "--limit", "1"]
    assert call(served, "list", "factories", *chosen).output.splitlines() == [
        "SPROCKET_PRODUCTION_GOAL  CREATE_TIME",
        "                      32  2021-01-21 02:06",
    ]


def test_a_list_of_audit_entries_says_when_who_did_what_to_which_resource(served: ServeProcess) -> None:
    made = answer(served, "create", "location", *LOCATION)
    chosen = ["--filter", f"resource_id = {made['id']}"]
    finished = run_in_terminal("list", "audit-entries", *chosen, client_server=served.address, columns=80)
    heading, entry = finished.output.removeprefix(ECHO).splitlines()
    assert heading.split() == ["CREATE_TIME", "PRINCIPAL", "METHOD", "RESOURCE_ID"]
    assert entry.split()[2:] == ["anonymous", "CreateLocati…", made["id"]]
    everything = call(served, "list", "audit-entries", *chosen).output.splitlines()
    assert everything[0].split() == ["CREATE_TIME", "PRINCIPAL", "METHOD", "RESOURCE_TYPE", "RESOURCE_ID"]
    assert everything[1].split()[2:] == ["anonymous", "CreateLocation", "Location", made["id"]]


def test_any_width_has_the_whole_headings_where_there_is_no_terminal() -> None:
    layout = lay_out([FACTORY["id"], FACTORY["sprocket_production_goal"]], [["x", "1"]], None, may_leave_out=True)
    assert layout.headings == [["ID"], ["SPROCKET_PRODUCTION_GOAL"]]


def test_references_are_left_out_before_texts_are_lost_and_the_first_column_stays() -> None:
    columns = [FACTORY[name] for name in ("id", "display_name", "location_id", "sprocket_production_goal")]
    rows = [[ID, "x" * 60, ID, "1"]]
    shown = {width: lay_out(columns, rows, width, may_leave_out=True).shown for width in (200, 80, 55, 40, 5)}
    assert shown == {200: [0, 1, 2, 3], 80: [0, 1, 3], 55: [0, 1], 40: [0], 5: [0]}
