"""`sprocket-grpc chart`: what a person sees, what programs get, and what is said when something is wrong."""

import csv
import json
import os
import pty
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from sprocket.v1.factory_pb2 import (
    CreateFactoryRequest,
    Factory,
    GetFactoryChartRequest,
    ListFactoriesRequest,
    UpdateFactoryRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.chart_command.chart import Chart, Entry, drawing
from sprocket_grpc.chart_command.since import SinceType
from sprocket_grpc.chart_command.terminal import Canvas, draw
from sprocket_grpc.chart_command.ticks import number_ticks, time_ticks
from sprocket_grpc.chart_command.times import DAY, HOUR, SECOND, parse_rfc_3339
from sprocket_grpc.database import create_plain_engine
from sprocket_grpc.seed import seed
from tests.chart_server import IDENTIFIER, chart_server, stretch
from tests.command_line import COMMAND, Finished, ServeProcess, environment, run, serving
from tests.conftest import new_database

ESCAPE = "\x1b"
LIVELY = "Factory 2"
Row = tuple[str, int, int]


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data, which is only added to."""
    with new_database(postgres, template) as url:
        with create_plain_engine(url).begin() as connection:
            seed(connection)
        with serving(database_url=url) as served:
            yield served


@pytest.fixture(scope="module")
def factories(served: ServeProcess) -> Iterator[FactoryServiceStub]:
    with grpc.insecure_channel(served.address) as channel:
        yield FactoryServiceStub(channel)


def chart(served: ServeProcess, *arguments: str) -> Finished:
    return run("chart", *arguments, "--server", served.address)


def find(factories: FactoryServiceStub, name: str) -> Factory:
    [found] = [each for each in factories.ListFactories(ListFactoriesRequest()).factories if each.display_name == name]
    return found


def create(factories: FactoryServiceStub, name: str, goal: int = 7) -> Factory:
    location_id = find(factories, LIVELY).location_id
    factory = Factory(display_name=name, location_id=location_id, sprocket_production_goal=goal)
    return factories.CreateFactory(CreateFactoryRequest(factory=factory)).factory


def set_goal(factories: FactoryServiceStub, identifier: str, goal: int) -> None:
    request = UpdateFactoryRequest(factory=Factory(id=identifier, sprocket_production_goal=goal))
    request.update_mask.paths.append("sprocket_production_goal")
    factories.UpdateFactory(request, wait_for_ready=True)


def stored(factories: FactoryServiceStub, name: str) -> list[Row]:
    rows: list[Row] = []
    for response in factories.GetFactoryChart(GetFactoryChartRequest(factory_id=find(factories, name).id)):
        columns = response.chart
        times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=each) for each in columns.time_micros]
        texts = [f"{each:%Y-%m-%dT%H:%M:%S.%f}Z" for each in times]
        rows.extend(zip(texts, columns.sprocket_production_goal, columns.sprocket_production_actual, strict=True))
    return rows


def read_csv(path: Path) -> list[Row]:
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header == ["time", "sprocket_production_goal", "sprocket_production_actual"]
    return [(time, int(goal), int(actual)) for time, goal, actual in rows]


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


def test_what_only_takes_ascii_gets_ascii(served: ServeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    finished = chart(served, LIVELY)
    assert finished.status == 0
    assert finished.output.isascii()
    assert "#### actual   .... goal" in finished.output


def test_a_display_name_cannot_take_over_the_terminal() -> None:
    with chart_server(([stretch("t", (1, 5, 6), end_of_history=True)], grpc.StatusCode.OK)) as server:
        finished = run("chart", IDENTIFIER, "--server", server.address)
    assert finished.output.startswith("Works \N{REPLACEMENT CHARACTER}[31m$1\nactual 6 of goal 5: 1 ahead")


def test_what_was_in_force_at_the_beginning_is_drawn_from_there(served: ServeProcess) -> None:
    finished = chart(served, LIVELY, "--since", "1h")
    assert "30 of goal 32: 2 behind, last changed 2021-01-21 05:12:38 UTC" in finished.output
    [goal, actual] = [line for line in finished.output.splitlines() if "·······" in line or "▄▄▄▄▄▄▄" in line]
    assert goal.startswith("32┤") and actual.startswith("30┤")  # noqa: PT018  # one line of each


# Pictures.


def test_svg_is_well_formed_and_says_what_it_shows_and_is_the_same_every_time(
    served: ServeProcess, tmp_path: Path
) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "two.SVG"]
    for path in paths:
        assert chart(served, LIVELY, "--output", str(path)).output == f"wrote {path}\n"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    texts = {"".join(each.itertext()) for each in ET.parse(paths[0]).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314  # our own
    assert {LIVELY, "goal", "actual", "sprockets", "time (UTC), 2021-01-21", "05:00"} <= texts


def test_png_is_one_whatever_the_name_of_the_factory(tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    with chart_server(([stretch("t", (1, 5, 6), (2, 7, 6), end_of_history=True)], grpc.StatusCode.OK)) as server:
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


def test_stretches_are_put_together(tmp_path: Path) -> None:
    stretches = [stretch("a", (1, 2, 3), (4, 5, 6)), stretch("b"), stretch("c", (7, 8, 9), end_of_history=True)]
    path = tmp_path / "chart.json"
    with chart_server((stretches, grpc.StatusCode.OK)) as server:
        assert run("chart", IDENTIFIER, "--output", str(path), "--server", server.address).status == 0
    assert json.loads(path.read_text())["sprocket_production_actual"] == [3, 6, 9]
    assert server.requests[0].max_points == 0


def test_since_begins_with_the_entry_that_was_in_force(
    served: ServeProcess, factories: FactoryServiceStub, tmp_path: Path
) -> None:
    path = tmp_path / "chart.csv"
    assert chart(served, LIVELY, "--since", "2021-01-21T06:10:00+01:00", "--output", str(path)).status == 0
    rows = stored(factories, LIVELY)[-4:]
    assert rows[0][0] == "2021-01-21T05:09:38.000000Z"
    assert read_csv(path) == rows


# Which factory.


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


def test_an_unknown_name_or_id_is_refused_with_what_is_near_and_how_to_list(served: ServeProcess) -> None:
    finished = chart(served, "factory_2")
    finished.assert_refused()
    assert "did you mean 'Factory 2' or " in finished.errors
    for unknown in (finished, chart(served, IDENTIFIER)):
        unknown.assert_refused()
        assert f"grpcurl -plaintext {served.address} sprocket.v1.FactoryService/ListFactories" in unknown.errors
        assert len(unknown.errors.splitlines()) == 1


# What else is refused.


def test_a_server_that_does_not_answer_is_one_clear_line() -> None:
    finished = run("chart", LIVELY, listen="127.0.0.1:1")
    finished.assert_refused()
    assert finished.errors == ("Error: 127.0.0.1:1 does not answer; is it running? `--server` names another address\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output", "chart.gif"], "one of .svg, .png, .csv, .json"),
        (["--output", "chart.csv", "--follow"], "--follow cannot be combined with --output"),
        (["--since", "7q"], "90s, 30m, 12h, 7d or 4w"),
        (["--since", "2999-01-01T00:00:00Z"], "not in the past"),
        (["--since", "9999w"], None),
        (["--since", "999999999w"], "too far in it"),
        (["--since", "2026-02-30T00:00:00Z"], "2026-01-31T12:00:00Z"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], expected: str | None) -> None:
    finished = run("chart", LIVELY, *arguments, "--server", "127.0.0.1:1")
    assert finished.status == (2 if expected else 1)
    assert (expected or "does not answer") in finished.errors


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left(served: ServeProcess, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "chart.svg", Path("/dev/null/chart.csv")):
        finished = chart(served, LIVELY, "--output", str(path))
        finished.assert_refused()
        assert f"cannot write {path}: " in finished.errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_told_behind_a_redirection_too(served: ServeProcess) -> None:
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, "chart", LIVELY, "--server", served.address]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environment({}), text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write to the standard output: No space left on device\n",
    )


def test_a_history_that_breaks_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    path.write_text("before")
    with chart_server(([stretch("t", (1, 5, 6))], grpc.StatusCode.NOT_FOUND)) as server:
        finished = run("chart", IDENTIFIER, "--output", str(path), "--server", server.address)
    finished.assert_refused()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(("library", "arguments"), [("plotext", []), ("matplotlib", ["--output", "chart.png"])])
def test_a_missing_library_is_told_with_how_to_install_it(
    library: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{library}.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finished = run("chart", LIVELY, *arguments, "--server", "127.0.0.1:1")
    finished.assert_refused()
    assert finished.errors == f"Error: {library} is not installed; `pip install 'sprocket-grpc[chart]'` brings it\n"


# Following.


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `chart --follow` with pipes, and let nothing be left of it."""
    command = [*COMMAND, "chart", "--follow", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment({}), text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> Finished:
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    return Finished(process.returncode, output, errors)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_a_pipe_gets_a_line_for_each_new_entry_also_after_a_restart_of_the_server(database_url: str) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    with serving(database_url=database_url) as first, grpc.insecure_channel(first.address) as channel:
        factories = FactoryServiceStub(channel)
        identifier = find(factories, LIVELY).id
        with following(LIVELY, "--server", first.address) as process:
            assert next_line(process) == "2021-01-21T05:12:38.000000Z  actual 30 of goal 32: 2 behind\n"
            set_goal(factories, identifier, 29)
            assert next_line(process).endswith("Z  actual 30 of goal 29: 1 ahead\n")
            first.signal(signal.SIGTERM)
            assert first.end().status == 0
            with serving(database_url=database_url, listen=first.address):
                set_goal(factories, identifier, 30)
                assert next_line(process).endswith("Z  actual 30 of goal 30: on goal\n")
                status, output, errors = interrupted(process)
    assert (status, output) == (0, "")
    assert errors == f"{first.address} has gone away; trying again every few seconds\n"


def test_a_broken_stream_is_continued_where_it_was_and_nothing_comes_twice() -> None:
    streams = [
        (
            [stretch("one", (1, 5, 6), (2, 5, 7)), stretch("two", (3, 5, 4), end_of_history=True)],
            grpc.StatusCode.UNAVAILABLE,
        ),
        ([], grpc.StatusCode.UNAVAILABLE),
        ([stretch("three", (4, 5, 5), (5, 5, 9)), stretch("four", end_of_history=True)], None),
    ]
    with chart_server(*streams) as server, following(IDENTIFIER, "--server", server.address) as process:
        lines = [next_line(process).split("  ")[1] for _ in range(3)]
        assert interrupted(process).status == 0
    assert lines == ["actual 4 of goal 5: 1 behind\n", "actual 5 of goal 5: on goal\n", "actual 9 of goal 5: 4 ahead\n"]
    assert [each.resume_token for each in server.requests] == ["", "two", "two"]
    assert [each.max_points for each in server.requests] == [6, 0, 0]
    assert all(each.follow for each in server.requests)


def test_with_since_the_lines_begin_with_the_history() -> None:
    history = [stretch("a", (1, 5, 6)), stretch("b", (2, 5, 7), end_of_history=True)]
    arguments = (IDENTIFIER, "--since", "1970-01-01T00:00:01Z")
    with chart_server((history, None)) as server, following(*arguments, "--server", server.address) as process:
        assert [next_line(process)[18:20] for _ in range(2)] == ["1.", "2."]
        assert interrupted(process) == (0, "", "")
    assert server.requests[0].start_time.seconds == 1
    assert server.requests[0].max_points == 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [(grpc.StatusCode.OK, "too old a version to follow charts"), (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")],
)
def test_a_stream_that_ends_for_good_is_told(end: grpc.StatusCode, expected: str) -> None:
    with chart_server(([], end)) as server:
        finished = run("chart", "--follow", IDENTIFIER, "--server", server.address)
    finished.assert_refused()
    assert expected in finished.errors


def test_a_terminal_is_redrawn_and_keeps_the_last_drawing_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "72", "LINES": "20", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    first = ([stretch("one", (1, 5, 6), end_of_history=True)], grpc.StatusCode.UNAVAILABLE)
    second = ([stretch("two", (5, 5, 9), end_of_history=True)], None)
    with chart_server(first, second) as server:
        shown = watch(server.address, until="actual 9 of goal 5")
    during, _, after = shown.partition("\x1b[?1049l")
    assert during.startswith("\x1b[?1049h")
    assert "actual 6 of goal 5: 1 ahead" in during
    assert "has gone away; trying again" in during
    assert "following; Ctrl-C ends" in during
    assert "actual 9 of goal 5: 4 ahead" in after
    assert ESCAPE not in after
    assert max(map(len, after.splitlines())) == 72
    assert f"{ESCAPE}[3" not in shown


def watch(address: str, until: str) -> str:
    """Follow in a terminal until a text is shown, then press Ctrl-C, and return all that the terminal got."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "chart", "--follow", IDENTIFIER, "--server", address]
    with subprocess.Popen(command, env=environment({}), stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while until not in shown.decode(errors="ignore"):
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        shown += rest(ours)
        assert process.wait(10) == 0
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def rest(terminal: int) -> bytes:
    read = b""
    try:
        while some := os.read(terminal, 4096):
            read += some
    except OSError:  # how Linux says that the other side is closed
        pass
    return read


# Its parts.


def test_thinning_keeps_the_ends_and_every_spike() -> None:
    spiky = Chart(list(range(10_000)), [50] * 10_000, [50] * 10_000)
    spiky.goal[1_234], spiky.actual[4_321], spiky.actual[7_777] = 99, 1, 80
    thin = spiky.thinned(20)
    assert len(thin) <= 120
    assert (thin.time_micros[0], thin.time_micros[-1]) == (0, 9_999)
    entries = set(zip(*thin.columns, strict=True))
    assert {(1_234, 99, 50), (4_321, 50, 1), (7_777, 50, 80)} <= entries
    assert spiky.thinned(2_000) is spiky


def test_a_drawing_begins_where_it_should_and_ends_now() -> None:
    entries = Chart([10, 20, 20, 30], [1, 2, 3, 4], [5, 6, 7, 8])
    later = drawing("", entries, 25, 100)
    assert (later.chart.time_micros, later.chart.goal, later.chart.actual) == ([25, 30], [3, 4], [7, 8])
    assert (later.start, later.end) == (25, 100)
    assert later.corners == ([25, 30, 30, 100], [3, 3, 4, 4], [7, 7, 8, 8])
    assert drawing("", entries, 5, 100).chart.time_micros == [10, 20, 20, 30]
    everything = Chart([0, 100], [1, 2], [3, 4])
    ends = {now: drawing("", everything, None, now).end for now in (90, 102, 10**9)}
    assert ends == {90: 101, 102: 102, 10**9: 105}
    assert drawing("", Chart([0], [1], [2]), None, 50).end == SECOND


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [(28, 33, 7, [28, 29, 30, 31, 32, 33]), (0, 1000, 5, [0, 500, 1000]), (7, 7, 5, [7]), (-3, 12, 4, [0, 5, 10])],
)
def test_numbers_are_marked_where_they_are_round(low: int, high: int, count: int, expected: list[int]) -> None:
    assert number_ticks(low, high, count) == expected


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (SECOND // 2, ["10:00:00", "10:00:00.2", "10:00:00.4"]),
        (100 * SECOND, ["10:00:00", "10:00:30", "10:01:00", "10:01:30"]),
        (3 * HOUR, ["10:00", "11:00", "12:00", "13:00"]),
        (2 * DAY, ["30 Jan 12:00", "31 Jan 00:00", "31 Jan 12:00", "01 Feb 00:00"]),
        (30 * DAY, ["2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23"]),
        (200 * DAY, ["2026-03", "2026-05", "2026-07"]),
        (3000 * DAY, ["2028", "2030", "2032", "2034"]),
    ],
)
def test_times_are_marked_where_they_are_round(length: int, labels: list[str]) -> None:
    start = parse_rfc_3339("2026-01-30T10:00:00Z")
    assert [label for _, label in time_ticks(start, start + length, 4)] == labels


@pytest.mark.parametrize(("text", "micros"), [("90s", 90 * SECOND), ("12h", 12 * HOUR), ("4w", 28 * DAY)])
def test_since_is_a_duration(text: str, micros: int) -> None:
    since = SinceType().convert(text, None, None)
    assert since.start(10 * micros) == 9 * micros


def test_a_gap_is_said_in_words() -> None:
    assert [Entry(0, 30, actual).gap for actual in (32, 30, 25)] == ["2 ahead", "on goal", "5 behind"]


def test_colours_are_only_used_where_they_are_wanted() -> None:
    entries = Chart([0, SECOND], [1, 2], [2, 1])
    lines = {
        colour: "\n".join(draw(drawing("x", entries, None, SECOND), Canvas(colour=colour))) for colour in (True, False)
    }
    assert f"{ESCAPE}[38;5;6m▄▄▄▄" in lines[True]
    assert ESCAPE not in lines[False]
