"""Shares one server per data directory: the first process runs it, and the others connect to it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sprocket_grpc.storage.embedded.account import account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.embedded.data_directory import prepare_data
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.pid_file import PORT, end_former_server, read_pid_file
from sprocket_grpc.storage.embedded.places import make_parents
from sprocket_grpc.storage.embedded.server import running_server


@contextmanager
def embedded_postgres(
    directory: Path, *, durable: bool = True, timeout_seconds: float = 60, binaries: Path | None = None
) -> Iterator[str]:
    """Start a server on `directory`, or join the server of another process. The process that starts it stops it.

    Two files beside the directory have its name and the suffixes `.lock` and `.log`.

    Args:
        directory: The data directory, which is created if it does not exist.
        durable: Whether committed data must survive a power failure. Without it, tests are faster.
        timeout_seconds: How long to wait for the server of another process, or for ours once its data is created.
        binaries: The directory of the programs of PostgreSQL. None means the wheel, PATH and the usual directories.

    Yields:
        The SQLAlchemy URL of the database `postgres`, for its superuser.

    Raises:
        EmbeddedDatabaseError: The server cannot be started.
    """
    directory = directory.expanduser().resolve()
    with ExitStack() as until_the_end:
        try:
            server = _own_or_joined_server(directory, binaries, durable=durable, timeout_seconds=timeout_seconds)
            sockets = until_the_end.enter_context(server)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"cannot keep a database in {directory}: {error}: set SPROCKET_EMBEDDED_DIRECTORY to another directory"
            ) from error
        # The port is explicit, because PGPORT would override the default.
        yield f"postgresql+psycopg://postgres@/postgres?host={quote(sockets)}&port={PORT}"


@contextmanager
def _own_or_joined_server(
    directory: Path, chosen_binaries: Path | None, *, durable: bool, timeout_seconds: float
) -> Iterator[str]:
    account = account_for(directory)
    make_parents(directory, account)
    with Path(f"{directory}.lock").open("a+") as lock:
        joined = _wait_for_turn(lock, directory, timeout_seconds)
        if joined:
            yield joined
            return
        binaries = find_binaries(account, chosen_binaries)
        prepare_data(directory, binaries, account, lock, durable=durable)
        end_former_server(directory, timeout_seconds)
        with running_server(directory, binaries, account, durable=durable, timeout_seconds=timeout_seconds) as own:
            yield own


def _wait_for_turn(lock: IO[str], directory: Path, timeout_seconds: float) -> str | None:
    """Return the socket directory of another process's server, or None as soon as this process has the lock."""
    deadline = time.monotonic() + timeout_seconds
    while not _take(lock):
        pid_file = read_pid_file(directory)
        if pid_file.answers():
            return pid_file.socket_directory
        if time.monotonic() > deadline:
            lock.seek(0)
            raise EmbeddedDatabaseError(
                f"process {lock.read()} holds {lock.name}, but its PostgreSQL does not answer: stop that process,"
                " or set SPROCKET_EMBEDDED_DIRECTORY to another directory"
            )
        time.sleep(0.1)
    return None


def _take(lock: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))  # for the error message of waiting processes
        lock.flush()
        return True
    return False
