"""The embedded PostgreSQL: errors when it cannot start, default directories, and running as root."""

import fcntl
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

from sprocket_grpc.storage.embedded import EmbeddedDatabaseError, account, default_directory, embedded_postgres, places
from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from tests.storage.embedded.servers import command_line, copy_of, processes, query, stored_teeth

pytestmark = pytest.mark.slow

only_for_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another OS user")


# Errors.


def test_the_error_about_missing_binaries_names_three_solutions(directory: Path, base: Path) -> None:
    with pytest.raises(EmbeddedDatabaseError) as caught, embedded_postgres(directory, binaries=base / "nothing"):
        pass
    for way in (r"pip install 'sprocket-grpc[embedded]'", "apt-get install postgresql", "set SPROCKET_DATABASE_URL"):
        assert way in str(caught.value)


def refused(directory: Path, *words: str) -> bool:
    """Whether the start fails soon, with an error that contains all words."""
    with pytest.raises(EmbeddedDatabaseError) as caught, embedded_postgres(directory, timeout_seconds=0.3):
        pass
    return all(word in str(caught.value) for word in words)


def test_data_of_another_version_is_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "PG_VERSION").write_text("11\n")
    assert refused(directory, f"{directory} was made by PostgreSQL 11", "SPROCKET_EMBEDDED_BINARIES")


def test_a_directory_with_other_files_is_refused_and_unchanged(directory: Path) -> None:
    directory.mkdir()
    (directory / "novel.txt").write_text("chapter one")
    assert refused(directory, "something other than PostgreSQL's data", "SPROCKET_EMBEDDED_DIRECTORY")
    assert [path.name for path in directory.iterdir()] == ["novel.txt"]


def test_a_file_instead_of_a_directory_is_refused(directory: Path) -> None:
    directory.write_text("a file")
    assert refused(directory, f"cannot keep a database in {directory}", "SPROCKET_EMBEDDED_DIRECTORY")


def test_an_error_names_the_process_whose_server_does_not_answer(used_directory: Path) -> None:
    with Path(f"{used_directory}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert refused(used_directory, "process 4711 holds", "does not answer")


def test_the_error_about_a_failed_start_has_the_end_of_the_log(used_directory: Path) -> None:
    with (used_directory / "postgresql.conf").open("a") as configuration:
        configuration.write("nonsense = on\n")
    assert refused(used_directory, f"{used_directory}.log", 'unrecognized configuration parameter "nonsense"')


@pytest.mark.parametrize("suffix", ["lock", "users", "guard", "log"])
def test_a_link_in_place_of_a_file_beside_the_directory_is_refused(
    base: Path, used_directory: Path, suffix: str
) -> None:
    victim = base / "victim"
    victim.write_text("precious")
    Path(f"{used_directory}.{suffix}").unlink(missing_ok=True)
    Path(f"{used_directory}.{suffix}").symlink_to(victim)
    assert refused(used_directory, f"cannot keep a database in {used_directory}", f"{used_directory}.{suffix}")
    assert victim.read_text() == "precious"
    assert not read_pid_file(used_directory).pid


# What other users of the machine, and PostgreSQL, may read.


def test_only_the_owner_can_read_the_files_and_the_data(used_directory: Path) -> None:
    log = Path(f"{used_directory}.log")
    log.touch()
    log.chmod(0o644)  # as a former version created it
    assert stored_teeth(used_directory) == "12"
    files = [Path(f"{used_directory}.{suffix}") for suffix in ("lock", "users", "guard", "log")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 4
    assert stat.S_IMODE(used_directory.stat().st_mode) == 0o700


def test_directories_for_a_user_who_is_not_root_are_only_for_that_user(base: Path) -> None:
    places.make_parents(base / "one" / "two" / "data", account.Account("you", {}))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (base / "one", base / "one" / "two")] == [0o700, 0o700]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc is needed to see the environment")
def test_no_process_of_the_database_inherits_a_secret(used_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_PAGE_TOKEN_KEYS", "a secret of the server")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    with embedded_postgres(used_directory, durable=False):
        environments = [environment_of(pid) for pid in processes() if str(used_directory) in command_line(pid)]
    assert len(environments) >= 2  # the server and the guard
    assert "secret" not in "".join(environments)


def environment_of(pid: int) -> str:
    """Return the environment of a process; empty if it does not exist any more."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


# Directories.


def test_the_default_directory_is_in_the_xdg_data_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_directory() == Path("/home/somebody/.local/share/sprocket-grpc/postgresql")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_directory() == Path("/data/sprocket-grpc/postgresql")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_directory() == Path("/home/somebody/.local/share/sprocket-grpc/postgresql")


def test_the_default_directory_of_root_is_outside_of_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == Path("/var/lib/sprocket-grpc/postgresql")


# Root, as which PostgreSQL refuses to run.


@pytest.fixture
def closed_directory(base: Path) -> Path:
    """A directory that only root can enter."""
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    return closed


@only_for_root
def test_data_below_a_directory_that_only_root_can_enter_is_refused(closed_directory: Path) -> None:
    directory = closed_directory / "more" / "data"
    assert refused(directory, f"cannot enter {closed_directory}:", "SPROCKET_EMBEDDED_DIRECTORY")
    assert not directory.parent.exists()


@only_for_root
def test_parent_directories_are_accessible_for_any_umask(base: Path) -> None:
    directory = base / "one" / "two" / "data"
    umask = os.umask(0o077)
    try:
        places.make_parents(directory, account.account_for(directory))
    finally:
        os.umask(umask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (base / "one", base / "one" / "two")] == [0o755, 0o755]


@only_for_root
def test_the_server_runs_as_the_owner_of_the_data(used_directory: Path) -> None:
    subprocess.run(["chown", "-R", "nobody", used_directory], check=True)
    assert stored_teeth(used_directory) == "12"


@only_for_root
def test_programs_that_only_root_can_reach_are_copied_once(
    base: Path, template: Path, closed_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)  # it would wait for all writes on the machine
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
