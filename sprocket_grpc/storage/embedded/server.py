"""Runs a server, and sees to it that it ends when we do, in whatever way that comes."""

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

_UNSAFE_BUT_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
_PATIENCE_SECONDS = 15
_LOG_CHARACTERS = 1500

# The path of a socket has 103 bytes on macOS and 107 on Linux, and below this directory there are 32 more.
_LONGEST_TEMPORARY_DIRECTORY = 70

# It outlives us even if we are killed: then its input ends, and it stops the server and removes the directory of the
# socket, which succeeds as soon as the server has removed the socket.
_GUARD = """
read input
kill -INT "$1"
for second in 1 2 3 4 5 6 7 8 9; do rmdir "$2" && exit; sleep 1; done
"""


@contextmanager
def running_server(
    directory: Path, binaries: Binaries, account: Account, *, durable: bool, timeout_seconds: float
) -> Iterator[str]:
    """Run a server, and yield the directory of its socket once it takes requests.

    Args:
        directory: The data, which must be ours alone.
        binaries: The programs of the PostgreSQL that made it.
        account: The owner of the data.
        durable: Whether what is committed must survive a power cut.
        timeout_seconds: How long to wait until it takes requests.

    Raises:
        EmbeddedDatabaseError: It did not start, or not in time.
        OSError: There is no room for its log or its socket.
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
            guard.kill()  # last, for a second Ctrl-C can come before the server has stopped
            guard.communicate()


@contextmanager
def _socket_directory(account: Account) -> Iterator[str]:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_TEMPORARY_DIRECTORY or not account.can_enter(Path(parent)):
        parent = "/tmp"  # noqa: S108 - nobody can guess the name that mkdtemp makes in it, or look inside
    directory = tempfile.mkdtemp(prefix="sprocket-", dir=parent)
    try:
        account.give(Path(directory))
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(
    directory: Path, binaries: Binaries, account: Account, sockets: str, *, durable: bool
) -> subprocess.Popen[bytes]:
    # end_former_server knows a server by the first three words
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
    options = () if durable else _UNSAFE_BUT_FAST
    with _log(directory).open("ab") as log:
        return account.start(*command, *options, stdin=subprocess.DEVNULL, output=log)


def _log(directory: Path) -> Path:
    return Path(f"{directory}.log")


def _wait_until_ready(server: subprocess.Popen[bytes], directory: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while (known := read_pid_file(directory)).pid != server.pid or not known.ready:
        if server.poll() is not None or time.monotonic() > deadline:
            end = _log(directory).read_text(errors="replace")[-_LOG_CHARACTERS:]
            raise EmbeddedDatabaseError(f"PostgreSQL did not start; the end of {_log(directory)}:\n{end}")
        time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    # in PostgreSQL's words a fast shutdown, an immediate one, and then no longer a request
    for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(request)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE_SECONDS)
            return
