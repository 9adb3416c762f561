"""Reads postmaster.pid, the file in the data directory by which a server makes itself known."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

PORT = 5432  # names the socket; nothing listens on the network

_NAME = "postmaster.pid"
_LINES = 8


@dataclass(frozen=True)
class PidFile:
    """What a server says of itself.

    Attributes:
        pid: The process, or 0 if that cannot be read.
        socket_directory: Where its socket is.
        ready: Whether it takes requests.
    """

    pid: int
    socket_directory: str
    ready: bool

    def answers(self) -> bool:
        """Whether it is ready, and something listens on its socket."""
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(2)
            connection.connect(f"{self.socket_directory}/.s.PGSQL.{PORT}")
            return self.ready
        return False


def read_pid_file(directory: Path) -> PidFile:
    """Read the pid file of the data in `directory`, which may be absent, half written, or of a server long gone."""
    text = ""
    with suppress(OSError):
        text = (directory / _NAME).read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines()] + [""] * _LINES
    return PidFile(int(lines[0]) if lines[0].isdecimal() else 0, lines[4], lines[7] == "ready")


def end_former_server(directory: Path, timeout_seconds: float) -> None:
    """Stop the server that outlived its owner, if there is one, and remove any pid file.

    A pid file that is half written, or whose pid is now that of another process, would keep PostgreSQL from
    starting. It can go even if processes of a killed server are left: PostgreSQL tells by its shared memory.

    Args:
        directory: The data, which must be ours alone.
        timeout_seconds: How long to wait for the server's end.

    Raises:
        EmbeddedDatabaseError: The server did not stop.
    """
    pid = read_pid_file(directory).pid
    if _serves(pid, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + timeout_seconds
    while _serves(pid, directory):
        if time.monotonic() > deadline:
            raise EmbeddedDatabaseError(f"process {pid} still serves {directory} and does not stop: kill -QUIT {pid}")
        time.sleep(0.02)
    (directory / _NAME).unlink(missing_ok=True)


def _serves(pid: int, directory: Path) -> bool:
    # never 0, which to kill() is our own process group
    return pid > 0 and f"/postgres -D {directory} " in _command_line(pid)


def _command_line(pid: int) -> str:
    """Return the words of a command, a space after each; nothing if there is no such process, or a dead one."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        return ""
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a number is its input
    return f"{done.stdout.strip()} "
