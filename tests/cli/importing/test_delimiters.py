"""`--delimiter`: the character between the cells of CSV, in imports and exports."""

from pathlib import Path

import pytest

from tests.cli.importing.world import World
from tests.support.client_commands import answer, call
from tests.support.command_line import run


@pytest.mark.parametrize(("option", "character"), [("tab", "\t"), (";", ";"), ("|", "|"), ("^", "^"), (".", ".")])
def test_an_export_with_any_delimiter_can_be_imported_unchanged(
    world: World, tmp_path: Path, option: str, character: str
) -> None:
    awkward = f'a{character}b "c", d;\te | f'.replace("\x00", "")
    measures = ["--teeth", "7", "--pitch-mm", "1.5", "--pitch-diameter-mm", "2", "--outside-diameter-mm", "3"]
    made = answer(world.served, "create", "sprocket-type", "--display-name", awkward, *measures)
    path = tmp_path / "types.csv"
    chosen = ["--filter", f"id = {made['id']}", "--delimiter", option]
    assert call(world.served, "export", "sprocket-types", str(path), *chosen).status == 0
    assert path.read_text().splitlines()[0].split(character)[:2] == ["id", "display_name"]
    assert answer(world.served, "update", "sprocket-type", made["id"], "--display-name", "other")["teeth"] == 7
    finished = world.run("sprocket-types", path, "--delimiter", option, "--keep-ids")
    assert finished.output == f"{path}: 0 created, 1 already there, 0 refused\n", finished
    assert answer(world.served, "get", "sprocket-type", made["id"])["display_name"] == awkward


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["factories", "f.csv", "--delimiter", ",,"],
            "expected a character such as , ; or |, or the word tab, not ',,'",
        ),
        (["factories", "f.csv", "--delimiter", "a"], "expected a character such as"),
        (["factories", "f.csv", "--delimiter", '"'], "expected a character such as"),
        (["factories", "f.json", "--delimiter", ";"], "--delimiter is for CSV, not for json"),
    ],
)
def test_an_unsuitable_delimiter_is_a_usage_error(arguments: list[str], expected: str) -> None:
    finished = run("export", *arguments, client_server="127.0.0.1:1")
    assert finished.status == 2
    assert expected in finished.errors
