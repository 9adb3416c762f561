"""The programs and the measurements of `make ha`."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from grpc import StatusCode

from reliability.chaos.calls import Call
from reliability.chaos.client import Client
from reliability.ha.__main__ import main
from reliability.ha.events import EVENTS
from reliability.ha.node import Node
from reliability.ha.programs import Programs
from reliability.ha.watch import HealthWatch, Outage, longest_outage
from sprocket_grpc.storage.embedded.account import Account
from tests import ROOT
from tests.support.waiting import PATIENCE_SECONDS, wait_until


class Named(Client):
    """A client that has only a name."""

    def __init__(self, name: str) -> None:
        self.name = name


def call(client: str, ended: float, code: StatusCode = StatusCode.OK) -> Call:
    return Call(client, "CreateSprocket", code, "", ended - 0.1, ended)


def test_the_outage_is_the_longest_time_in_which_no_writer_was_answered() -> None:
    calls = [call("a", 9), call("b", 11), call("a", 14), call("b", 15), call("reader", 12)]
    assert longest_outage(calls, [Named("a"), Named("b")], since=10) == Outage(11, 14)


def test_an_outage_begins_with_the_last_answer_before_the_event() -> None:
    calls = [call("a", 8), call("a", 9), call("a", 9.5, StatusCode.UNAVAILABLE), call("a", 20), call("a", 21)]
    assert longest_outage(calls, [Named("a")], since=10) == Outage(9, 20)


def test_who_was_never_answered_again_has_no_outage_that_ended() -> None:
    assert longest_outage([call("a", 9)], [Named("a")], since=10) == Outage(10, 10)


def test_health_is_noted_when_it_changes_and_not_serving_lasts_until_it_does_not() -> None:
    watch = HealthWatch("")
    for is_serving in [True, True, False, False, True, False]:
        watch.note(is_serving)
    [(began, ended), (last, never)] = watch.unhealthy(since=0)
    assert began <= ended <= last <= time.monotonic()
    assert never == float("inf")
    assert list(watch.unhealthy(since=ended)) == [(last, never)]


def test_another_process_with_the_pid_of_a_former_postgresql_is_not_signalled(tmp_path: Path) -> None:
    programs = Programs(Account("you", {}), Path("etcd"), Path("patroni"), Path("bin"))
    node = Node("node-1", programs, tmp_path, {})
    assert node.pids() == []
    node.data.mkdir()
    (node.data / "postmaster.pid").write_text(f"{os.getpid()}\n{node.data}\n")
    assert (node.postmaster, node.pids()) == (0, [])
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", str(node.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
        (node.data / "postmaster.pid").write_text(f"{running.pid}\n{node.data}\n")
        wait_until(lambda: node.postmaster == running.pid)
        node.stop()
        assert running.wait(PATIENCE_SECONDS) == -signal.SIGQUIT


def test_without_etcd_the_run_is_skipped_and_the_package_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    done = CliRunner().invoke(main, ["--patroni", str(tmp_path)])
    assert (done.exit_code, done.output) == (
        0,
        "skipped: etcd is not installed (Debian: apt-get install etcd-server)\n",
    )


def test_without_patroni_the_run_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/etcd")
    done = CliRunner().invoke(main, ["--patroni", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith("skipped: ")
    assert "which .ci/patroni installs" in done.output


def test_an_unknown_event_is_refused_with_the_known_ones() -> None:
    done = CliRunner().invoke(main, ["--patroni", "x", "--only", "switchover,earthquake"])
    assert done.exit_code == 2
    assert "unknown: earthquake; accepted: " + ", ".join(EVENTS) in " ".join(done.output.split())


def test_the_document_names_all_events_in_their_order() -> None:
    document = (ROOT / "docs" / "high-availability.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \| [^|]+ \|$", document, re.MULTILINE) == list(EVENTS)
