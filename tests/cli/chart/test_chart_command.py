"""`sprocket-grpc chart`: drawings for people, files for programs, and errors."""

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.testing.postgres import new_database
from tests.support.chart_server import IDENTIFIER, chart_response, chart_server
from tests.support.charting import ESCAPE, LIVELY, chart, create, find, read_csv, stored
from tests.support.command_line import COMMAND, ServeProcess, environment, run, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data. Tests only add to it."""
    with new_database(postgres, template) as url:
        with create_plain_engine(url).begin() as connection:
            seed(connection)
        with serving(database_url=url) as served:
            yield served


@pytest.fixture(scope="module")
def factories(served: ServeProcess) -> Iterator[FactoryServiceStub]:
    with grpc.insecure_channel(served.address) as channel:
        yield FactoryServiceStub(channel)


# Drawings in the terminal.


def test_a_pipe_gets_both_curves_in_80_columns_without_colours(served: ServeProcess) -> None:
    finished = chart(served, LIVELY)
    assert (finished.status, finished.errors) == (0, "")
    title, headline, legend, *plot = finished.output.splitlines()
    assert title == LIVELY
    assert headline == "actual 30 of goal 32: 2 behind, last changed 2021-01-21 05:12:38 UTC"
    assert legend == "sprockets   ▄▄▄▄ actual   ···· goal"
    assert plot[-1].strip() == "time (UTC), 2021-01-21"
    assert "05:00" in plot[-2]
    assert [line.split("┤")[0] for line in plot if "┤" in line] == ["33", "32", "31", "30", "29", "28"]
    assert {*"·▄▌"} <= set("".join(plot))
    assert max(map(len, finished.output.splitlines())) == 80
    assert ESCAPE not in finished.output


def test_an_output_that_supports_only_ascii_gets_ascii(served: ServeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    finished = chart(served, LIVELY)
    assert finished.status == 0
    assert finished.output.isascii()
    assert "#### actual   .... goal" in finished.output


def test_control_characters_in_a_display_name_do_not_reach_the_terminal() -> None:
    with chart_server(([chart_response("t", (1, 5, 6), end_of_history=True)], grpc.StatusCode.OK)) as server:
        finished = run("chart", IDENTIFIER, "--server", server.address)
    assert finished.output.startswith("Works \\x1b[31m$1\nactual 6 of goal 5: 1 ahead")


def test_the_entry_in_force_at_the_start_is_drawn_from_the_start(served: ServeProcess) -> None:
    finished = chart(served, LIVELY, "--since", "1h")
    assert "30 of goal 32: 2 behind, last changed 2021-01-21 05:12:38 UTC" in finished.output
    [goal, actual] = [line for line in finished.output.splitlines() if "·······" in line or "▄▄▄▄▄▄▄" in line]
    assert goal.startswith("32┤") and actual.startswith("30┤")  # noqa: PT018  # one line of each


# Pictures.


def test_svg_is_well_formed_and_labelled_and_reproducible(served: ServeProcess, tmp_path: Path) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "two.SVG"]
    for path in paths:
        assert chart(served, LIVELY, "--output", str(path)).output == f"wrote {path}\n"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    texts = {"".join(each.itertext()) for each in ET.parse(paths[0]).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314  # our own
    assert {LIVELY, "goal", "actual", "ahead", "behind", "sprockets", "time (UTC), 2021-01-21", "05:00"} <= texts
    assert {"30 actual", "32 goal"} <= texts


def test_a_png_is_written_for_any_name_of_the_factory(tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    with chart_server(([chart_response("t", (1, 5, 6), (2, 7, 6), end_of_history=True)], grpc.StatusCode.OK)) as server:
        finished = run("chart", IDENTIFIER, "--output", str(path), "--server", server.address)
    assert (finished.status, finished.errors) == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert server.requests[0].max_points == 2_000


# Tables.


def test_csv_and_json_hold_exactly_the_stored_entries(
    served: ServeProcess, factories: FactoryServiceStub, tmp_path: Path
) -> None:
    as_csv, as_json = tmp_path / "chart.csv", tmp_path / "chart.json"
    for path in (as_csv, as_json):
        assert chart(served, LIVELY, "--output", str(path)).status == 0
    rows = stored(factories, LIVELY)
    assert len(rows) == 20
    assert read_csv(as_csv) == rows
    names, columns = {"factory_id": find(factories, LIVELY).id, "display_name": LIVELY}, zip(*rows, strict=True)
    headers = ("time", "sprocket_production_goal", "sprocket_production_actual")
    assert json.loads(as_json.read_text()) == names | dict(zip(headers, map(list, columns), strict=True))


def test_chunks_are_joined(tmp_path: Path) -> None:
    responses = [
        chart_response("a", (1, 2, 3), (4, 5, 6)),
        chart_response("b"),
        chart_response("c", (7, 8, 9), end_of_history=True),
    ]
    path = tmp_path / "chart.json"
    with chart_server((responses, grpc.StatusCode.OK)) as server:
        assert run("chart", IDENTIFIER, "--output", str(path), "--server", server.address).status == 0
    assert json.loads(path.read_text())["sprocket_production_actual"] == [3, 6, 9]
    assert server.requests[0].max_points == 0


def test_expired_entries_are_told_on_standard_error_in_json_and_in_pictures(tmp_path: Path) -> None:
    response = chart_response("t", (1_772_280_000, 2, 3), (1_772_280_009, 5, 6), end_of_history=True)
    response.retained_from_time.FromSeconds(1_772_280_000)
    paths = [tmp_path / f"chart.{kind}" for kind in ("json", "svg", "csv")]
    note = "entries before 2026-02-28 12:00:00 UTC have expired"
    with chart_server(*[([response], grpc.StatusCode.OK)] * 4) as server:
        finished = [run("chart", IDENTIFIER, "--server", server.address)]
        finished += [run("chart", IDENTIFIER, "--output", str(each), "--server", server.address) for each in paths]
    assert [(each.status, each.errors) for each in finished] == [(0, f"{note}\n")] * 4
    assert json.loads(paths[0].read_text())["retained_from_time"] == "2026-02-28T12:00:00.000000Z"
    assert note in paths[1].read_text()


def test_since_starts_with_the_entry_that_was_in_force(
    served: ServeProcess, factories: FactoryServiceStub, tmp_path: Path
) -> None:
    path = tmp_path / "chart.csv"
    assert chart(served, LIVELY, "--since", "2021-01-21T06:10:00+01:00", "--output", str(path)).status == 0
    rows = stored(factories, LIVELY)[-4:]
    assert rows[0][0] == "2021-01-21T05:09:38.000000Z"
    assert read_csv(path) == rows


# Finding the factory.


def test_a_factory_is_found_by_its_id_and_by_any_name(served: ServeProcess, factories: FactoryServiceStub) -> None:
    name = "*Wërk \"7\" 'x' \\ OR *"
    created = create(factories, name)
    for word in (name, created.id, created.id.upper()):
        finished = chart(served, word)
        assert finished.output.startswith(f"{name}\nactual 0 of goal 7: 7 behind"), finished


def test_an_ambiguous_name_is_refused_with_all_ids(served: ServeProcess, factories: FactoryServiceStub) -> None:
    twins = [create(factories, "Twin") for _ in range(2)]
    finished = chart(served, "Twin")
    finished.assert_refused()
    assert all(f"{each.id} (Twin)" in finished.errors for each in twins)


def test_an_unknown_name_or_id_is_refused_with_similar_names_and_how_to_list(served: ServeProcess) -> None:
    finished = chart(served, "factory_2")
    finished.assert_refused()
    assert "did you mean 'Factory 2'" in finished.errors
    for unknown in (finished, chart(served, IDENTIFIER)):
        unknown.assert_refused()
        assert "`sprocket-grpc list factories`" in unknown.errors
        assert len(unknown.errors.splitlines()) == 1


# Other errors.


def test_an_unavailable_server_is_reported_in_one_line() -> None:
    finished = run("chart", LIVELY, "--timeout", "0.5", listen="127.0.0.1:1")
    finished.assert_refused()
    assert finished.errors == ("Error: 127.0.0.1:1 does not answer; is it running? `--server` names another address\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output", "chart.gif"], "one of .svg, .png, .csv, .json"),
        (["--output", "chart.csv", "--follow"], "--follow cannot be combined with --output"),
        (["--since", "7q"], "90s, 30m, 12h, 7d or 4w"),
        (["--since", "2999-01-01T00:00:00Z"], "not in the past"),
        (["--since", "9999w", "--timeout", "0.5"], None),
        (["--since", "999999999w"], "before the year 1"),
        (["--since", "2026-02-30T00:00:00Z"], "2026-01-31T12:00:00Z"),
    ],
)
def test_invalid_options_are_usage_errors(arguments: list[str], expected: str | None) -> None:
    finished = run("chart", LIVELY, *arguments, "--server", "127.0.0.1:1")
    assert finished.status == (2 if expected else 1)
    assert (expected or "does not answer") in finished.errors


def test_a_file_that_cannot_be_written_is_reported_and_nothing_is_left(served: ServeProcess, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "chart.svg", Path("/dev/null/chart.csv")):
        finished = chart(served, LIVELY, "--output", str(path))
        finished.assert_refused()
        assert f"cannot write {path}: " in finished.errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_behind_a_redirection_is_reported(served: ServeProcess) -> None:
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, "chart", LIVELY, "--server", served.address]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environment({}), text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write to standard output: No space left on device\n",
    )


def test_a_history_that_breaks_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    streams = [
        ([chart_response("one", (1, 5, 6))], grpc.StatusCode.UNAVAILABLE),
        ([chart_response("two", (2, 5, 7), end_of_history=True)], grpc.StatusCode.OK),
    ]
    with chart_server(*streams) as server:
        finished = run("chart", IDENTIFIER, "--output", str(path), "--server", server.address)
    assert (finished.status, finished.errors) == (0, "")
    assert [actual for _, _, actual in read_csv(path)] == [6, 7]
    assert [each.resume_token for each in server.requests] == ["", "one"]


def test_a_history_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    path.write_text("before")
    with chart_server(([chart_response("t", (1, 5, 6))], grpc.StatusCode.NOT_FOUND)) as server:
        finished = run("chart", IDENTIFIER, "--output", str(path), "--server", server.address)
    finished.assert_refused()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(("library", "arguments"), [("plotext", []), ("matplotlib", ["--output", "chart.png"])])
def test_a_missing_library_is_reported_with_how_to_install_it(
    library: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{library}.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finished = run("chart", LIVELY, *arguments, "--server", "127.0.0.1:1")
    finished.assert_refused()
    assert finished.errors == f"Error: {library} is not installed; run `pip install 'sprocket-grpc[chart]'`\n"
