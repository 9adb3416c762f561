"""The pid file of an embedded server, and what is left of a server that ended at another moment than expected."""

import os
import signal
from pathlib import Path

import pytest

from sprocket_grpc.storage.embedded import pid_file
from sprocket_grpc.storage.embedded.pid_file import PORT, SOCKETS_PREFIX, end_server, read_pid_file


@pytest.fixture
def sockets(tmp_path: Path) -> Path:
    """The directory of a socket, with the files of PostgreSQL."""
    folder = tmp_path / f"{SOCKETS_PREFIX}1"
    folder.mkdir()
    (folder / f".s.PGSQL.{PORT}").touch()
    (folder / f".s.PGSQL.{PORT}.lock").touch()
    return folder


def test_a_directory_without_a_pid_file_has_no_server(tmp_path: Path) -> None:
    found = read_pid_file(tmp_path / "missing")
    assert (found.pid, found.socket_directory, found.ready) == (0, "", False)
    assert not found.answers()


def test_the_directory_of_a_socket_is_removed(sockets: Path) -> None:
    pid_file.remove_socket_directory(str(sockets))
    assert not sockets.exists()


def test_a_file_of_somebody_else_in_the_directory_of_a_socket_stays_and_is_no_error(sockets: Path) -> None:
    (sockets / "other").touch()
    pid_file.remove_socket_directory(str(sockets))
    assert [each.name for each in sockets.iterdir()] == ["other"]


def test_a_directory_with_another_name_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / f".s.PGSQL.{PORT}").touch()
    pid_file.remove_socket_directory(str(tmp_path))
    assert (tmp_path / f".s.PGSQL.{PORT}").exists()


def test_a_server_that_ends_just_before_its_signal_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serves, signals = iter([True, False]), []

    def kill(_: int, number: signal.Signals) -> None:
        signals.append(number)
        raise ProcessLookupError

    monkeypatch.setattr(pid_file, "_serves", lambda *_: next(serves))
    monkeypatch.setattr(os, "kill", kill)
    (tmp_path / "postmaster.pid").write_text("4711\n")
    end_server(tmp_path, timeout_seconds=60)
    assert signals == [signal.SIGINT]
    assert not (tmp_path / "postmaster.pid").exists()
