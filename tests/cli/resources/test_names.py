"""A display name that one resource has stands for its id, in every command that takes an id."""

from collections.abc import Iterator

import pytest

from sprocket_grpc.testing.postgres import new_database
from tests.support.client_commands import LOCATION, answer, call, seeded_server
from tests.support.command_line import ServeProcess


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data. Tests only add to it, and delete what they have added."""
    with new_database(postgres, template) as url, seeded_server(url) as served:
        yield served


def test_get_takes_names_and_ids_in_the_order_given(served: ServeProcess) -> None:
    two = answer(served, "get", "factory", "Factory 2")
    assert two["display_name"] == "Factory 2"
    several = answer(served, "get", "factory", "Factory 3", two["id"].upper(), "Factory 1")
    assert [each["display_name"] for each in several] == ["Factory 3", "Factory 2", "Factory 1"]


def test_update_and_delete_take_a_name(served: ServeProcess) -> None:
    name = "Wërk \"7\" 'x' \\ OR *"
    made = answer(served, "create", "location", *LOCATION, "--display-name", name)
    assert answer(served, "update", "location", name, "--city", "Bern") == made | {
        "city": "Bern",
        "etag": answer(served, "get", "location", made["id"])["etag"],
        "update_time": answer(served, "get", "location", made["id"])["update_time"],
    }
    assert call(served, "delete", "location", name, "--yes").output == f"deleted location {made['id']}\n"


@pytest.mark.parametrize("command", [["get"], ["update", "--city", "Bern"], ["delete", "--yes"]], ids=" ".join)
def test_an_ambiguous_name_is_refused_with_all_ids_and_nothing_is_changed(
    served: ServeProcess, command: list[str]
) -> None:
    name = f"Twin of {command[0]}"
    twins = [answer(served, "create", "location", *LOCATION, "--display-name", name) for _ in range(2)]
    finished = call(served, command[0], "location", name, *command[1:])
    finished.assert_refused()
    assert f"several locations have the display name '{name}'; pass the id instead" in finished.errors
    assert all(f"{each['id']} ({name})" in finished.errors for each in twins)
    assert answer(served, "get", "location", *[each["id"] for each in twins]) == twins


def test_a_deletion_with_one_unknown_name_deletes_nothing(served: ServeProcess) -> None:
    made = answer(served, "create", "location", *LOCATION, "--display-name", "Kept")
    call(served, "delete", "location", made["id"], "nowhere", "--yes").assert_refused()
    assert answer(served, "get", "location", "Kept") == made


def test_an_empty_argument_is_not_the_one_resource_without_a_name(served: ServeProcess) -> None:
    factory = answer(served, "get", "factory", "Factory 1")["id"]
    kind = answer(served, "get", "sprocket-type", "Sprocket type 1")["id"]
    made = answer(served, "create", "sprocket", "--factory-id", factory, "--sprocket-type-id", kind)
    assert made.get("display_name", "") == ""
    for command in (["get"], ["update", "--display-name", "x"], ["delete", "--yes"]):
        finished = call(served, command[0], "sprocket", "", *command[1:])
        finished.assert_refused()
        assert "expected the id or the display name of a sprocket, not an empty argument" in finished.errors
    assert call(served, "delete", "sprocket", made["id"], "--yes").output == f"deleted sprocket {made['id']}\n"


def test_an_unknown_name_is_refused_with_similar_ones_and_how_to_list(served: ServeProcess) -> None:
    finished = call(served, "get", "sprocket-type", "sprocket type2")
    finished.assert_refused()
    assert "no sprocket type has the display name 'sprocket type2'; did you mean 'Sprocket type" in finished.errors
    assert "`sprocket-grpc list sprocket-types` shows all sprocket types" in finished.errors
    assert finished.errors.count("\n") == 1
