"""Standard input and output as FILE, full disks, closed pipes, and interruptions of import and export."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.importing.test_again import importing
from tests.cli.importing.world import HEAD, World, csv_file
from tests.support.client_commands import answer, call
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, Finished, environment
from tests.support.resources import MISSING_ID

pytestmark = pytest.mark.slow

FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")


def piped(world: World, given: str, *arguments: str) -> Finished:
    """Run a command with a text as its standard input."""
    variables = environment({"client_server": world.served.address})
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=given.encode(),
        capture_output=True,
        check=False,
        env=variables,
        timeout=PATIENCE_SECONDS,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_an_export_to_standard_output_can_be_imported_from_standard_input(world: World, kind: str) -> None:
    chosen = ("--filter", f"id = {world.location_id}")
    exported = call(world.served, "export", "locations", "-", "--format", kind, *chosen)
    assert (exported.status, exported.errors) == (0, "exporting -\n")
    for created in (1, 0):
        finished = piped(world, exported.output, "import", "locations", "-", "--format", kind)
        assert finished.status == 0, finished
        assert finished.output == f"standard input: {created} created, {1 - created} already there, 0 refused\n"


def test_standard_input_and_output_need_a_format(world: World) -> None:
    for command in ("import", "export"):
        finished = call(world.served, command, "locations", "-")
        assert finished.status == 2
        assert "--format: expected one of csv, json, jsonl for -" in finished.errors


def test_a_bad_line_of_standard_input_is_named_with_how_to_continue(world: World) -> None:
    text = f"{HEAD}\nA,1 St,X,1,US\nB,1 St,X,1,us\n"
    finished = piped(world, text, "import", "locations", "-", "--format", "csv", "--address-2", world.location_id)
    finished.assert_refused()
    assert "standard input:3: country_code: must be two capital letters" in finished.errors
    assert "continue with --skip 0" in finished.errors


def test_a_format_can_be_chosen_for_any_name(world: World, tmp_path: Path) -> None:
    path = tmp_path / "locations.txt"
    assert call(world.served, "export", "locations", str(path), "--format", "jsonl").status == 0
    finished = world.run("locations", path, "--format", "jsonl", "--keep-ids")
    assert finished.output.startswith(f"{path}: 0 created, ")


def test_semicolons_are_recognised_and_said(world: World, tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    content = f"{HEAD};;\nA,1 St,X,1,US;;\n,,,,;;\n".replace(",", ";").replace("\n", "\r\n")
    path.write_text(f"\ufeff{content}", newline="")
    finished = world.run("locations", path, "--address-2", world.location_id)
    assert (finished.status, finished.output) == (0, f"{path}: 1 created, 0 already there, 0 refused\n")
    assert f"{path}: the cells are separated by semicolons\n" in finished.errors


def test_the_text_of_a_cell_that_is_too_long_is_never_imported(world: World, tmp_path: Path) -> None:
    evil = "".join(['B,"', *["Evil,1 St,X,1,US\n"] * 20_000, '",X,1,US'])
    path = csv_file(tmp_path / "f.csv", "A,1 St,X,1,US", evil, "C,1 St,X,1,US")
    finished = world.run("locations", path, "--on-error", "continue", "--address-2", world.location_id)
    assert finished.output == f"{path}: 2 created, 0 already there, 1 refused\n"
    assert finished.errors.splitlines()[1:] == [f"{path}:3: not valid CSV: field larger than field limit (131072)"]
    made = answer(world.served, "list", "locations", "--filter", f'address_2 = "{world.location_id}"')
    assert [each["display_name"] for each in made] == ["A", "C"]


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has these devices")
def test_devices_and_pipes_are_read_and_written_and_never_replaced(world: World, tmp_path: Path) -> None:
    chosen = ("--filter", f"id = {world.location_id}", "--format", "jsonl")
    device = tmp_path / "device"
    device.symlink_to("/dev/fd/1")
    exported = call(world.served, "export", "locations", str(device), *chosen)
    assert (exported.status, world.location_id in exported.output) == (0, True)
    assert device.is_symlink()
    line = exported.output.splitlines()[0]
    finished = piped(world, line, "import", "locations", "/dev/fd/0", "--format", "jsonl", "--keep-ids")
    assert finished.output == "/dev/fd/0: 0 created, 1 already there, 0 refused\n"


# Ends.


def test_an_interrupted_import_says_how_to_continue_and_does_so(world: World, tmp_path: Path) -> None:
    path = world.sprockets(tmp_path / "s.csv", 6000)
    with importing(world, path) as process:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert output.startswith(f"{path}: ")
    assert errors.splitlines()[-1].startswith("Error: interrupted; to continue, repeat the command with the same file")
    assert world.run("sprockets", path).status == 0
    assert world.written() == 6000


@needs_full_device
def test_a_full_disk_behind_the_refused_lines_is_named(world: World, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "f.csv", "A,1 St,X,1,us")
    finished = world.run("locations", path, "--on-error", "continue", "--refused", str(FULL))
    finished.assert_refused()
    assert finished.errors.splitlines()[-1] == f"Error: cannot write {FULL}: No space left on device"


@needs_full_device
def test_a_full_disk_behind_standard_output_is_named(world: World) -> None:
    for arguments in (["export", "sprockets", "-", "--format", "csv"], ["list", "sprockets"], ["audit"]):
        with FULL.open("w") as full:
            variables = environment({"client_server": world.served.address})
            command = [*COMMAND, *arguments]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=variables, text=True)
        assert done.returncode == 1
        assert done.stderr.endswith("Error: cannot write to standard output: No space left on device\n")
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_a_disk_that_fills_up_during_an_export_is_named_and_leaves_the_file_as_it_was(
    world: World, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"s.{kind}"
    path.write_text("before")
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", *COMMAND, "export", "sprockets", str(path)]
    variables = environment({"client_server": world.served.address})
    variables = {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(limited, capture_output=True, check=False, env=variables, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: cannot write {path}: File too large"
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("closed", "arguments", "expected"),
    [
        (">&-", ["list", "sprockets"], "Error: cannot write to standard output: it is closed\n"),
        (
            ">&-",
            ["delete", "location", "ID", "--force", "--yes"],
            "Error: cannot write to standard output: it is closed\n",
        ),
        ("2>&-", ["list", "sprockets", "--limit", "1"], ""),
        ("<&-", ["import", "locations", "-", "--format", "csv"], "standard input:1: expected the names of fields"),
        ("<&-", ["delete", "location", "ID"], "not a terminal: pass --yes to confirm\n"),
    ],
    ids=str,
)
def test_a_closed_standard_stream_ends_no_command_with_a_traceback(
    world: World, closed: str, arguments: list[str], expected: str
) -> None:
    given = [world.location_id if each == "ID" else each for each in arguments]
    variables = environment({"client_server": world.served.address})
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", *COMMAND, *given]
    done = subprocess.run(command, capture_output=True, check=False, env=variables, text=True, timeout=PATIENCE_SECONDS)
    assert "Traceback" not in done.stderr
    assert expected in done.stderr
    assert call(world.served, "get", "location", world.location_id).status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 only")
def test_the_name_of_a_file_need_not_be_utf_8(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.csv"
    finished = call(world.served, "export", "locations", str(path))
    assert finished.status == 0
    assert finished.output.endswith(f" locations to {tmp_path}/a\\udcff.csv\n")
    assert world.run("locations", path, "--keep-ids").status == 0


def test_refused_lines_do_not_overwrite_the_file_that_is_imported(world: World, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"city": "X"}\n')
    finished = world.run("locations", path, "--refused", str(path))
    assert finished.status == 2
    assert "--refused: expected another file than FILE" in finished.errors
    assert path.read_text() == '{"city": "X"}\n'


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list", "sprockets", "--all", "--output", kind] for kind in ("table", "csv", "json")),
        ["get", "location", "ID"],
        ["get", "location", "ID", "--output", "json"],
        ["update", "location", "ID", "--city", "X"],
        ["delete", "sprocket", MISSING_ID, "--allow-missing", "--yes"],
        ["export", "sprockets", "-", "--format", "csv"],
        ["export", "sprockets", "FILE"],
        ["import", "locations", "INPUT"],
        ["audit"],
        ["audit", "--json"],
        ["chart", "Factory 1"],
        ["chart", "Factory 1", "--follow", "--since", "520w"],
        ["health"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_a_closed_pipe_ends_every_command_without_a_word(world: World, arguments: list[str], tmp_path: Path) -> None:
    given = csv_file(tmp_path / "given.csv", f"A,1 St,X,{tmp_path.name[-9:]},US")
    words = {"ID": world.location_id, "FILE": str(tmp_path / "out.csv"), "INPUT": str(given)}
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [*COMMAND, *(words.get(each, each) for each in arguments)],
            stdout=theirs,
            stderr=subprocess.PIPE,
            check=False,
            env=environment({"client_server": world.served.address}),
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    finally:
        os.close(theirs)
    assert [each for each in done.stderr.splitlines() if not each.startswith(("exporting ", "importing "))] == []
