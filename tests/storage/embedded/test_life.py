"""The embedded PostgreSQL: start, sharing, crashes and shutdown."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from sprocket_grpc.storage.embedded import account, embedded_postgres
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from tests.storage.embedded.servers import (
    copy_of,
    eventually,
    is_gone,
    next_line,
    owner,
    query,
    sleeper,
    socket_directory,
    stored_teeth,
)

pytestmark = pytest.mark.slow

# Crashes.


def test_the_server_stops_when_its_parent_is_killed(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        query(url, "UPDATE sprocket SET teeth = 13")
        parent.kill()
        assert eventually(lambda: is_gone(used_directory, url))
    assert stored_teeth(used_directory) == "13"


def test_the_server_stops_when_its_parent_is_terminated(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        parent.terminate()
        assert eventually(lambda: is_gone(used_directory, url))
    assert stored_teeth(used_directory) == "12"


def test_ctrl_c_stops_the_server_only_after_its_owner_is_done(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        os.killpg(parent.pid, signal.SIGINT)
        assert next_line(parent) == "the server is still running"
        parent.wait(timeout=30)
        assert is_gone(used_directory, url)
    assert stored_teeth(used_directory) == "12"


def test_four_processes_that_start_concurrently_share_one_server(directory: Path) -> None:
    with ExitStack() as until_the_end:
        processes = [until_the_end.enter_context(owner(directory)) for _ in range(4)]
        urls = {next_line(process) for process in processes}
        assert len(urls) == 1
        assert query(urls.pop(), "SELECT 'one'") == "one"


def test_committed_rows_survive_a_kill_of_the_server(used_directory: Path) -> None:
    with embedded_postgres(used_directory) as url:
        assert query(url, "SHOW fsync") == "on"  # the default
        query(url, "UPDATE sprocket SET teeth = 13")
        os.kill(read_pid_file(used_directory).pid, signal.SIGKILL)
    assert stored_teeth(used_directory) == "13"


def test_another_process_with_the_pid_of_a_former_server_is_not_killed(used_directory: Path) -> None:
    with sleeper(used_directory) as other:
        lines = [str(other.pid), str(used_directory), "1700000000", "5432", "/gone", "", "", "ready"]
        (used_directory / "postmaster.pid").write_text("\n".join(lines))
        assert stored_teeth(used_directory) == "12"
        assert other.poll() is None


@pytest.mark.parametrize("text", ["", "99999999\n"], ids=["empty", "short"])
def test_a_truncated_pid_file_is_ignored(used_directory: Path, text: str) -> None:
    (used_directory / "postmaster.pid").write_text(text)
    assert stored_teeth(used_directory) == "12"


# Other situations.


def test_another_server_with_the_pid_of_a_former_server_is_not_stopped(
    base: Path, used_directory: Path, template: Path
) -> None:
    with embedded_postgres(copy_of(template, base / "other"), durable=False) as other:
        shutil.copy(base / "other" / "postmaster.pid", used_directory)
        assert stored_teeth(used_directory) == "12"
        assert query(other, "SELECT 'alive'") == "alive"


def test_a_server_without_users_and_guard_is_adopted_and_stopped(base: Path, used_directory: Path) -> None:
    runner = account.account_for(used_directory)
    postgres = find_binaries(runner, None).directory / "postgres"
    sockets = base / "sprocket-sockets"
    sockets.mkdir()
    runner.give(sockets)
    command = (postgres, "-D", used_directory, "-k", sockets, "-c", "listen_addresses=")
    with runner.start(*command, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL) as orphan:
        assert eventually(lambda: read_pid_file(used_directory).ready)
        assert stored_teeth(used_directory) == "12"
        assert orphan.wait() == 0
    assert not sockets.exists()


def test_an_interrupted_initdb_leaves_no_partial_data(directory: Path) -> None:
    fresh = Path(f"{directory}.new")
    with owner(directory) as parent:
        assert eventually((fresh / "PG_VERSION").exists)
        parent.kill()
        parent.wait()
        assert not directory.exists()
        with Path(f"{directory}.lock").open() as lock, pytest.raises(BlockingIOError):  # initdb is still running
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with embedded_postgres(directory, durable=False) as url:
        assert query(url, "SELECT 'whole'") == "whole"
        assert not fresh.exists()


def test_paths_with_spaces_work(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = base / "with some spaces" / "and more"
    temporary = base / "t m p"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with embedded_postgres(directory, durable=False) as url:
        assert socket_directory(url).startswith(str(temporary))
        assert query(url, "SHOW data_directory") == str(directory)


def test_sockets_are_not_in_a_temporary_directory_with_a_long_path(
    base: Path, used_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = base / ("long" * 20)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with embedded_postgres(used_directory, durable=False) as url:
        assert query(url, "SELECT 'reached'") == "reached"


def test_the_server_listens_on_a_private_unix_socket_only(used_directory: Path) -> None:
    with embedded_postgres(used_directory, durable=False) as url:
        assert query(url, "SHOW listen_addresses") == ""
        assert stat.S_IMODE(Path(socket_directory(url)).stat().st_mode) == 0o700


def test_an_exception_in_the_block_propagates_and_the_server_stops(used_directory: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="the caller's"),
        embedded_postgres(used_directory, durable=False) as url,
    ):
        raise FileNotFoundError("the caller's")
    assert is_gone(used_directory, url)
