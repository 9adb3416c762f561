"""`sprocket-grpc chart --follow`: new entries, printed or redrawn, even if the connection breaks."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.cli.chart.following import follow
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.callers import certificate
from tests.support.chart_server import IDENTIFIER, chart_response, chart_server
from tests.support.charting import ESCAPE, LIVELY, find, set_goal
from tests.support.command_line import COMMAND, Finished, interruptible_environment, run, serving
from tests.support.terminal import open_terminal, rest


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `chart --follow` with pipes until the block ends."""
    command = [*COMMAND, "chart", "--follow", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=interruptible_environment(), text=True, **pipes) as process:  # type: ignore[call-overload]
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


def test_a_pipe_gets_a_line_for_every_new_entry_even_after_a_restart_of_the_server(database_url: str) -> None:
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
    assert errors == f"{first.address} is unavailable; retrying every few seconds\n"


def test_a_broken_stream_is_resumed_without_duplicates() -> None:
    streams = [
        (
            [chart_response("one", (1, 5, 6), (2, 5, 7)), chart_response("two", (3, 5, 4), end_of_history=True)],
            grpc.StatusCode.UNAVAILABLE,
        ),
        ([], grpc.StatusCode.UNAVAILABLE),
        ([chart_response("three", (4, 5, 5), (5, 5, 9)), chart_response("four", end_of_history=True)], None),
    ]
    with chart_server(*streams) as server, following(IDENTIFIER, "--server", server.address) as process:
        lines = [next_line(process).split("  ")[1] for _ in range(3)]
        assert interrupted(process).status == 0
    assert lines == ["actual 4 of goal 5: 1 behind\n", "actual 5 of goal 5: on goal\n", "actual 9 of goal 5: 4 ahead\n"]
    assert [each.resume_token for each in server.requests] == ["", "two", "two"]
    assert [each.max_points for each in server.requests] == [6, 0, 0]
    assert all(each.follow for each in server.requests)


def test_with_since_the_history_is_printed_first() -> None:
    history = [chart_response("a", (1, 5, 6)), chart_response("b", (2, 5, 7), end_of_history=True)]
    arguments = (IDENTIFIER, "--since", "1970-01-01T00:00:01Z")
    with chart_server((history, None)) as server, following(*arguments, "--server", server.address) as process:
        assert [next_line(process)[18:20] for _ in range(2)] == ["1.", "2."]
        assert interrupted(process) == (0, "", "")
    assert server.requests[0].start_time.seconds == 1
    assert server.requests[0].max_points == 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [(grpc.StatusCode.OK, "its version is too old to follow charts"), (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")],
)
def test_a_stream_that_cannot_be_resumed_is_reported(end: grpc.StatusCode, expected: str) -> None:
    with chart_server(([], end)) as server:
        finished = run("chart", "--follow", IDENTIFIER, "--server", server.address)
    finished.assert_refused()
    assert expected in finished.errors


def test_a_stream_is_not_resumed_if_it_would_fail_in_the_same_way(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(certificate("root").pem)
    with (
        chart_server() as plain,
        connected(Connection(plain.address, ca, None, None, None)) as server,
        pytest.raises(ClientError, match="does not speak TLS"),
    ):
        list(follow(server, GetFactoryChartRequest(factory_id=IDENTIFIER, follow=True)))


def test_the_reason_for_a_wait_is_told_until_a_response_arrives() -> None:
    streams = [([], grpc.StatusCode.UNAVAILABLE), ([chart_response("one", (1, 5, 6))], None)]
    with (
        chart_server(*streams) as served,
        connected(Connection(served.address, None, None, None, None)) as server,
    ):
        updates = follow(server, GetFactoryChartRequest(factory_id=IDENTIFIER, follow=True))
        seen = [next(updates)]
        while not seen[-1].response:
            seen.append(next(updates))
    problem = f"{served.address} is unavailable; retrying every few seconds"
    assert {each.problem for each in seen} <= {"", problem}
    assert problem in {each.problem for each in seen}
    assert not seen[-1].problem


def test_a_terminal_is_redrawn_and_keeps_the_last_drawing_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "72", "LINES": "20", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    first = ([chart_response("one", (1, 5, 6), end_of_history=True)], grpc.StatusCode.UNAVAILABLE)
    second = ([chart_response("two", (5, 5, 9), end_of_history=True)], None)
    with chart_server(first, second) as server:
        shown = watch(server.address, until="actual 9 of goal 5")
    during, _, after = shown.partition("\x1b[?1049l")
    assert during.startswith("\x1b[?1049h")
    assert "actual 6 of goal 5: 1 ahead" in during
    assert "is unavailable; retrying" in during
    assert "following; press Ctrl-C to stop" in during
    assert "actual 9 of goal 5: 4 ahead" in after
    assert ESCAPE not in after
    assert max(map(len, after.splitlines())) == 72
    assert f"{ESCAPE}[3" not in shown


def watch(address: str, until: str) -> str:
    """Follow in a terminal until a text is shown, press Ctrl-C, and return everything that was shown."""
    ours, theirs = open_terminal()
    command = [*COMMAND, "chart", "--follow", IDENTIFIER, "--server", address]
    with subprocess.Popen(command, env=interruptible_environment(), stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while until not in shown.decode(errors="ignore"):
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        shown += rest(ours)
        assert process.wait(10) == 0
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")
