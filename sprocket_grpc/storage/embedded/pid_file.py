"""Reads postmaster.pid, the file in the data directory that describes the running server."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

PORT = 5432  # part of the socket's name; the server does not listen on the network

SOCKETS_PREFIX = "sprocket-"
"""How the names of the directories of sockets begin."""

_NAME = "postmaster.pid"
_LINES = 8


@dataclass(frozen=True)
class PidFile:
    """The content of postmaster.pid.

    Attributes:
        pid: The process id of the server, or 0 if it cannot be read.
        socket_directory: The directory of its Unix socket.
        ready: Whether it accepts connections.
    """

    pid: int
    socket_directory: str
    ready: bool

    def answers(self) -> bool:
        """Whether the server is ready, and its socket accepts a connection."""
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(2)
            connection.connect(f"{self.socket_directory}/.s.PGSQL.{PORT}")
            return self.ready
        return False


def read_pid_file(directory: Path) -> PidFile:
    """Return the content of the pid file in `directory`. It may be missing, incomplete or stale."""
    text = ""
    with suppress(OSError):
        text = (directory / _NAME).read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines()] + [""] * _LINES
    return PidFile(int(lines[0]) if lines[0].isdecimal() else 0, lines[4], lines[7] == "ready")


def find_server(directory: Path) -> str | None:
    """Return the directory of the socket of the server on `directory`, or None if it does not run or answer."""
    found = read_pid_file(directory)
    return found.socket_directory if _serves(found.pid, directory) and found.answers() else None


def end_server(directory: Path, timeout_seconds: float) -> None:
    """Stop the server on `directory` if it runs, and remove its pid file and the directory of its socket.

    PostgreSQL does not start if the pid file is incomplete, or if its pid belongs to another process by now. Removing
    it is safe even if processes of a killed server are left, because PostgreSQL detects these by its shared memory.

    Args:
        directory: The data directory. No other process may use it.
        timeout_seconds: How long to wait until the server has stopped.

    Raises:
        EmbeddedDatabaseError: The server did not stop.
    """
    found = read_pid_file(directory)
    # a fast shutdown, an immediate shutdown, and SIGKILL
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if _ends(found.pid, directory, number, timeout_seconds / 3):
            break
    else:
        raise EmbeddedDatabaseError(f"process {found.pid} still serves {directory} and does not stop")
    (directory / _NAME).unlink(missing_ok=True)
    if not found.answers():  # else the file is a copy of another server's
        remove_socket_directory(found.socket_directory)


def _ends(pid: int, directory: Path, number: signal.Signals, seconds: float) -> bool:
    """Send a signal to the server, and return whether it ends within `seconds`."""
    deadline = time.monotonic() + seconds
    if _serves(pid, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    while _serves(pid, directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def remove_socket_directory(name: str) -> None:
    """Remove the directory of a server's socket, and nothing else if the name is that of another directory."""
    sockets = Path(name)
    if sockets.name.startswith(SOCKETS_PREFIX):
        with suppress(OSError):
            for file in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
                (sockets / file).unlink(missing_ok=True)
            sockets.rmdir()


def _serves(pid: int, directory: Path) -> bool:
    # not 0, which would be our own process group for kill()
    return pid > 0 and f"/postgres -D {directory} " in _command_line(pid)


def _command_line(pid: int) -> str:
    """Return the words of a process's command, each followed by a space; empty if the process does not exist."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        return ""
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, check=False, env={}, text=True)  # noqa: S603  # its only input is a number
    return f"{done.stdout.strip()} "
