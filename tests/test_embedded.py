"""The private PostgreSQL: real servers, real processes, real signals."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from sprocket_grpc.embedded import EmbeddedDatabaseError, account, default_directory, embedded_postgres, places
from sprocket_grpc.embedded.binaries import find_binaries
from sprocket_grpc.embedded.pid_file import read_pid_file
from tests.command_line import interruptible_environment

PROGRAM = Path(__file__).with_name("embedded_process.py")
only_for_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's account can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@pytest.fixture
def base() -> Iterator[Path]:
    with open_directory() as path:
        yield path


@pytest.fixture
def directory(base: Path) -> Path:
    """Where no data is yet."""
    return base / "data"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with open_directory() as path:
        with embedded_postgres(path / "data", durable=False) as url:
            query(url, "CREATE TABLE sprocket (teeth int); INSERT INTO sprocket VALUES (12)")
        yield path / "data"


@pytest.fixture
def used_directory(directory: Path, template: Path) -> Path:
    """Where data is, and no server."""
    return copy_of(template, directory)


def copy_of(template: Path, directory: Path) -> Path:
    """Copy data, which is quicker than initdb; shutil would make us the owner."""
    subprocess.run(["cp", "-a", template, directory], check=True)
    return directory


def query(url: str, statement: str) -> str:
    """Run one statement, and return the first value of its result, or nothing."""
    with psycopg.connect(host=socket_directory(url), user="postgres", dbname="postgres") as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return str(row[0]) if row else ""


def socket_directory(url: str) -> str:
    return str(make_url(url).query["host"])


def stored_teeth(directory: Path) -> str:
    """Start a server, and return what its only row says."""
    with embedded_postgres(directory, durable=False) as url:
        return query(url, "SELECT teeth FROM sprocket")


@contextmanager
def owner(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts or joins a server, in a process group of its own."""
    command = [sys.executable, str(PROGRAM), str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=interruptible_environment(), stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.communicate(timeout=30)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def is_gone(directory: Path, url: str) -> bool:
    """Whether the server ended in order: it removes its pid file last, and the guard then what is in /tmp."""
    return not (directory / "postmaster.pid").exists() and not Path(socket_directory(url)).exists()


@contextmanager
def sleeper(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A living process that is none of ours, of the account that PostgreSQL runs as."""
    other = account.account_for(directory)
    process = other.start("/bin/sleep", "60", stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# The eight ways to crash.


def test_the_server_dies_with_a_parent_that_was_killed(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        query(url, "UPDATE sprocket SET teeth = 13")
        parent.kill()
        assert eventually(lambda: is_gone(used_directory, url))
    assert stored_teeth(used_directory) == "13"


def test_the_server_dies_with_a_parent_that_was_terminated(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        parent.terminate()
        assert eventually(lambda: is_gone(used_directory, url))
    assert stored_teeth(used_directory) == "12"


def test_ctrl_c_stops_the_server_only_after_its_owner_is_done(used_directory: Path) -> None:
    with owner(used_directory) as parent:
        url = next_line(parent)
        os.killpg(parent.pid, signal.SIGINT)
        assert next_line(parent) == "the server is still there"
        parent.wait(timeout=30)
        assert is_gone(used_directory, url)
    assert stored_teeth(used_directory) == "12"


def test_two_processes_share_one_server_until_its_owner_ends(used_directory: Path) -> None:
    with owner(used_directory) as first:
        url = next_line(first)
        with embedded_postgres(used_directory) as joined:
            assert joined == url
        assert query(url, "SELECT 'still there'") == "still there"
        first.communicate(timeout=30)
        assert is_gone(used_directory, url)


def test_four_processes_that_start_at_once_share_one_server(directory: Path) -> None:
    with ExitStack() as until_the_end:
        processes = [until_the_end.enter_context(owner(directory)) for _ in range(4)]
        urls = {next_line(process) for process in processes}
        assert len(urls) == 1
        assert query(urls.pop(), "SELECT 'one'") == "one"


def test_committed_rows_survive_a_server_that_was_killed(used_directory: Path) -> None:
    with embedded_postgres(used_directory) as url:
        assert query(url, "SHOW fsync") == "on"  # unless told otherwise
        query(url, "UPDATE sprocket SET teeth = 13")
        os.kill(read_pid_file(used_directory).pid, signal.SIGKILL)
    assert stored_teeth(used_directory) == "13"


def test_a_stranger_that_got_the_pid_of_a_former_server_lives(used_directory: Path) -> None:
    with sleeper(used_directory) as stranger:
        lines = [str(stranger.pid), str(used_directory), "1700000000", "5432", "/gone", "", "", "ready"]
        (used_directory / "postmaster.pid").write_text("\n".join(lines))
        assert stored_teeth(used_directory) == "12"
        assert stranger.poll() is None


@pytest.mark.parametrize("text", ["", "99999999\n"], ids=["empty", "short"])
def test_a_pid_file_that_was_cut_short_does_not_matter(used_directory: Path, text: str) -> None:
    (used_directory / "postmaster.pid").write_text(text)
    assert stored_teeth(used_directory) == "12"


# More that happens.


def test_another_server_that_got_the_pid_lives(base: Path, used_directory: Path, template: Path) -> None:
    with embedded_postgres(copy_of(template, base / "other"), durable=False) as other:
        shutil.copy(base / "other" / "postmaster.pid", used_directory)
        assert stored_teeth(used_directory) == "12"
        assert query(other, "SELECT 'alive'") == "alive"


def test_a_server_without_an_owner_gives_way(base: Path, used_directory: Path) -> None:
    runner = account.account_for(used_directory)
    postgres = find_binaries(runner, None).directory / "postgres"
    sockets = base / "sockets"
    sockets.mkdir()
    runner.give(sockets)
    command = (postgres, "-D", used_directory, "-k", sockets, "-c", "listen_addresses=")
    with runner.start(*command, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL) as orphan:
        assert eventually(lambda: read_pid_file(used_directory).ready)
        assert stored_teeth(used_directory) == "12"
        assert orphan.wait() == 0


def test_an_interrupted_initdb_leaves_nothing_half_made(directory: Path) -> None:
    fresh = Path(f"{directory}.new")
    with owner(directory) as parent:
        assert eventually((fresh / "PG_VERSION").exists)
        parent.kill()
        parent.wait()
        assert not directory.exists()
        with Path(f"{directory}.lock").open() as lock, pytest.raises(BlockingIOError):  # initdb, which still runs
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


def test_a_long_temporary_directory_is_no_place_for_sockets(
    base: Path, used_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = base / ("long" * 20)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with embedded_postgres(used_directory, durable=False) as url:
        assert query(url, "SELECT 'reached'") == "reached"


def test_the_server_is_not_on_the_network(used_directory: Path) -> None:
    with embedded_postgres(used_directory, durable=False) as url:
        assert query(url, "SHOW listen_addresses") == ""
        assert stat.S_IMODE(Path(socket_directory(url)).stat().st_mode) == 0o700


def test_an_error_of_the_caller_passes_through_and_the_server_stops(used_directory: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="the caller's"),
        embedded_postgres(used_directory, durable=False) as url,
    ):
        raise FileNotFoundError("the caller's")
    assert is_gone(used_directory, url)


# What a person is told.


def test_missing_binaries_are_told_with_three_ways_out(directory: Path, base: Path) -> None:
    with pytest.raises(EmbeddedDatabaseError) as caught, embedded_postgres(directory, binaries=base / "nothing"):
        pass
    for way in (r"pip install 'sprocket-grpc[embedded]'", "apt-get install postgresql", "set SPROCKET_DATABASE_URL"):
        assert way in str(caught.value)


def refused(directory: Path, *words: str) -> bool:
    """Whether there is an error, and soon, that says each of the words."""
    with pytest.raises(EmbeddedDatabaseError) as caught, embedded_postgres(directory, timeout_seconds=0.3):
        pass
    return all(word in str(caught.value) for word in words)


def test_data_of_another_version_is_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "PG_VERSION").write_text("11\n")
    assert refused(directory, f"{directory} was made by PostgreSQL 11", "SPROCKET_EMBEDDED_BINARIES")


def test_a_directory_of_something_else_is_refused_and_untouched(directory: Path) -> None:
    directory.mkdir()
    (directory / "novel.txt").write_text("chapter one")
    assert refused(directory, "something other than PostgreSQL's data", "SPROCKET_EMBEDDED_DIRECTORY")
    assert [path.name for path in directory.iterdir()] == ["novel.txt"]


def test_a_file_in_the_way_is_refused(directory: Path) -> None:
    directory.write_text("a file")
    assert refused(directory, f"cannot keep a database in {directory}", "SPROCKET_EMBEDDED_DIRECTORY")


def test_a_holder_whose_server_does_not_answer_is_named(used_directory: Path) -> None:
    with Path(f"{used_directory}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert refused(used_directory, "process 4711 holds", "does not answer")


def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(used_directory: Path) -> None:
    with (used_directory / "postgresql.conf").open("a") as configuration:
        configuration.write("nonsense = on\n")
    assert refused(used_directory, f"{used_directory}.log", 'unrecognized configuration parameter "nonsense"')


# Where things are.


def test_data_is_kept_in_the_data_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_directory() == Path("/home/somebody/.local/share/sprocket-grpc/postgresql")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_directory() == Path("/data/sprocket-grpc/postgresql")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_directory() == Path("/home/somebody/.local/share/sprocket-grpc/postgresql")


def test_data_of_root_is_kept_outside_of_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == Path("/var/lib/sprocket-grpc/postgresql")


# Root, whom PostgreSQL refuses.


@pytest.fixture
def closed_directory(base: Path) -> Path:
    """Where only root can look."""
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    return closed


@only_for_root
def test_data_below_a_closed_directory_is_refused(closed_directory: Path) -> None:
    directory = closed_directory / "more" / "data"
    assert refused(directory, f"cannot enter {closed_directory}:", "SPROCKET_EMBEDDED_DIRECTORY")
    assert not directory.parent.exists()


@only_for_root
def test_parents_are_made_open_whatever_the_umask(base: Path) -> None:
    directory = base / "one" / "two" / "data"
    umask = os.umask(0o077)
    try:
        places.make_parents(directory, account.account_for(directory))
    finally:
        os.umask(umask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (base / "one", base / "one" / "two")] == [0o755, 0o755]


@only_for_root
def test_data_of_another_account_is_served_as_that_account(used_directory: Path) -> None:
    subprocess.run(["chown", "-R", "nobody", used_directory], check=True)
    assert stored_teeth(used_directory) == "12"


@only_for_root
def test_programs_in_a_closed_place_are_copied_once_for_all(
    base: Path, template: Path, closed_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)  # it waits for everybody on the machine
    for part in Path(str(metadata.distribution("embedded-postgres").locate_file(""))).glob("embedded_postgres*"):
        (closed_directory / part.name).symlink_to(part)
    monkeypatch.syspath_prepend(closed_directory)
    monkeypatch.setattr(places, "SYSTEM_DIRECTORY", base / "shared")

    def programs(directory: Path) -> str:
        with embedded_postgres(directory, durable=False) as url:
            return query(url, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")

    with ThreadPoolExecutor() as pool:
        used = set(pool.map(programs, [copy_of(template, base / "one"), copy_of(template, base / "two")]))
    copy = base / "shared" / f"embedded-postgres-{metadata.version('embedded-postgres')}"
    assert used == {str(copy / "embedded_postgres" / "pginstall" / "bin")}
    assert all(path.stat().st_uid == 0 and not path.stat().st_mode & 0o022 for path in copy.rglob("*"))
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name, f"{copy.name}.lock"]
