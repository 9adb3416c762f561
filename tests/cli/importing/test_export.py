"""An exported file can be imported, and is either complete or missing."""

import re
from pathlib import Path

from sprocket_grpc.testing.postgres import new_database
from tests.cli.importing.world import World
from tests.support.client_commands import answer, call
from tests.support.command_line import ServeProcess, serving


def test_all_exported_resources_can_be_imported_into_an_empty_system_unchanged(
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
        assert finished.status == 0, finished
        assert re.fullmatch(rf"wrote \d+ [a-z ]+ to {re.escape(str(directory / name))}\n", finished.output)


def test_an_export_has_all_pages_and_only_the_selected_columns(world: World, tmp_path: Path) -> None:
    imported = world.run("sprockets", world.sprockets(tmp_path / "s.csv", 2500), "--timeout", "60")
    assert imported.status == 0, imported
    path = tmp_path / "out.csv"
    chosen = f"factory_id = {world.factory_id}"
    call(world.served, "export", "sprockets", str(path), "--filter", chosen, "--columns", "display_name")
    heading, *rows = path.read_text().splitlines()
    assert heading == "display_name"
    assert sorted(rows) == sorted(f"S{n}" for n in range(2500))  # batches of an import are created in any order


def test_an_export_says_how_many_resources_it_wrote(world: World, tmp_path: Path) -> None:
    imported = world.run("sprockets", world.sprockets(tmp_path / "s.csv", 1001), "--timeout", "60")
    assert imported.status == 0, imported
    path = tmp_path / "out.csv"
    chosen = f"factory_id = {world.factory_id}"
    assert call(world.served, "export", "sprockets", str(path), "--filter", chosen).output == (
        f"wrote 1001 sprockets to {path}\n"
    )
    chosen = f"id = {world.factory_id}"
    assert call(world.served, "export", "factories", str(path), "--filter", chosen).output == (
        f"wrote 1 factory to {path}\n"
    )


def test_an_export_that_fails_leaves_the_file_as_it_was(world: World, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    call(world.served, "export", "sprockets", str(path), "--filter", "nope = 1").assert_refused()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]
