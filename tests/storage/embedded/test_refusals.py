"""The private PostgreSQL that cannot start, or only as another account: what a person is told, and where things are."""

import fcntl
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

from sprocket_grpc.storage.embedded import EmbeddedDatabaseError, account, default_directory, embedded_postgres, places
from tests.storage.embedded.servers import copy_of, query, stored_teeth

only_for_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")


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
