"""Starts a server that outlives this process."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.binaries import Binaries
from sprocket_grpc.storage.embedded.daemon import Daemon
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.lock_files import private_file
from sprocket_grpc.storage.embedded.pid_file import PORT, SOCKETS_PREFIX, read_pid_file, remove_socket_directory
from sprocket_grpc.storage.embedded.places import beside

_FAST_OPTIONS = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
_LOG_CHARACTERS = 1500

# The path of a socket may have 103 bytes on macOS and 107 on Linux. The part below this directory has 32.
_LONGEST_TEMPORARY_DIRECTORY = 70


def start_server(
    directory: Path, binaries: Binaries, account: Account, timeout_seconds: float, *, durable: bool
) -> tuple[Daemon, str]:
    """Start a server, and return it and the directory of its socket once it accepts connections.

    Args:
        directory: The data directory, whose lock this process must hold.
        binaries: The programs of the PostgreSQL that created the data.
        account: The owner of the data.
        timeout_seconds: How long to wait until the server accepts connections.
        durable: Whether committed data must survive a power failure.

    Raises:
        EmbeddedDatabaseError: The server did not start in time.
        OSError: Its log or its socket cannot be created.
    """
    sockets = _make_socket_directory(account)
    server = _start(directory, binaries, account, sockets, durable=durable)
    try:
        _wait_until_ready(server, directory, timeout_seconds)
    except BaseException:
        server.kill()  # it has done nothing that needs an orderly end
        server.wait()
        remove_socket_directory(sockets)
        raise
    return server, sockets


def _make_socket_directory(account: Account) -> str:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_TEMPORARY_DIRECTORY or not account.can_enter(Path(parent)):
        parent = "/tmp"  # noqa: S108  # mkdtemp makes an unpredictable name with mode 0700
    directory = tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=parent)
    account.give(Path(directory))
    return directory


def _start(directory: Path, binaries: Binaries, account: Account, sockets: str, *, durable: bool) -> Daemon:
    # pid_file recognises a server by the first three words
    command = (
        binaries.directory / "postgres",
        "-D",
        directory,
        "-p",
        str(PORT),
        "-k",
        sockets,
        "-c",
        "listen_addresses=",
    )
    options = () if durable else _FAST_OPTIONS
    with private_file(beside(directory, "log"), os.O_APPEND) as log:
        return account.start(*command, *options, stdin=subprocess.DEVNULL, output=log)


def _wait_until_ready(server: Daemon, directory: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while (pid_file := read_pid_file(directory)).pid != server.pid or not pid_file.ready:
        if server.poll() is not None or time.monotonic() > deadline:
            log = beside(directory, "log")
            end = log.read_text(errors="replace")[-_LOG_CHARACTERS:]
            raise EmbeddedDatabaseError(f"PostgreSQL did not start; the last lines of {log}:\n{end}")
        time.sleep(0.02)
