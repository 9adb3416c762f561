"""Runs a server, and stops it when this process ends, even if this process is killed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.binaries import Binaries
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.pid_file import PORT, read_pid_file

_FAST_OPTIONS = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
_STOP_SECONDS = 15
_LOG_CHARACTERS = 1500

# The path of a socket may have 103 bytes on macOS and 107 on Linux. The part below this directory has 32.
_LONGEST_TEMPORARY_DIRECTORY = 70

# If this process is killed, the guard's standard input is closed. It then stops the server and removes the directory of
# the socket, which succeeds as soon as the server has removed the socket.
_GUARD = """
read input
kill -INT "$1"
for second in 1 2 3 4 5 6 7 8 9; do rmdir "$2" && exit; sleep 1; done
"""


@contextmanager
def running_server(
    directory: Path, binaries: Binaries, account: Account, *, durable: bool, timeout_seconds: float
) -> Iterator[str]:
    """Run a server, and yield the directory of its socket once it accepts connections.

    Args:
        directory: The data directory, whose lock this process must hold.
        binaries: The programs of the PostgreSQL that created the data.
        account: The owner of the data.
        durable: Whether committed data must survive a power failure.
        timeout_seconds: How long to wait until the server accepts connections.

    Raises:
        EmbeddedDatabaseError: The server did not start in time.
        OSError: Its log or its socket cannot be created.
    """
    with _socket_directory(account) as sockets:
        server = _start(directory, binaries, account, sockets, durable=durable)
        command = ("/bin/sh", "-c", _GUARD, "sprocket-guard", str(server.pid), sockets)
        guard = account.start(*command, stdin=subprocess.PIPE, output=subprocess.DEVNULL)
        try:
            _wait_until_ready(server, directory, timeout_seconds)
            yield sockets
        finally:
            _stop(server)
            guard.kill()  # last, because a second Ctrl-C may interrupt _stop
            guard.communicate()


@contextmanager
def _socket_directory(account: Account) -> Iterator[str]:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_TEMPORARY_DIRECTORY or not account.can_enter(Path(parent)):
        parent = "/tmp"  # noqa: S108  # mkdtemp makes an unpredictable name with mode 0700
    directory = tempfile.mkdtemp(prefix="sprocket-", dir=parent)
    try:
        account.give(Path(directory))
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(
    directory: Path, binaries: Binaries, account: Account, sockets: str, *, durable: bool
) -> subprocess.Popen[bytes]:
    # end_former_server recognises a server by the first three words
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
    with _log(directory).open("ab") as log:
        return account.start(*command, *options, stdin=subprocess.DEVNULL, output=log)


def _log(directory: Path) -> Path:
    return Path(f"{directory}.log")


def _wait_until_ready(server: subprocess.Popen[bytes], directory: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while (pid_file := read_pid_file(directory)).pid != server.pid or not pid_file.ready:
        if server.poll() is not None or time.monotonic() > deadline:
            end = _log(directory).read_text(errors="replace")[-_LOG_CHARACTERS:]
            raise EmbeddedDatabaseError(f"PostgreSQL did not start; the last lines of {_log(directory)}:\n{end}")
        time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    # a fast shutdown, an immediate shutdown, and SIGKILL
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_SECONDS)
            return
