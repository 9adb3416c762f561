"""A server process that can be stopped, killed and started again on the same port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command_line import environment
from tests.support.ports import free_port

PATIENCE_SECONDS = 60

_READY = "Press Ctrl-C to stop."
_SHOWN_CHARACTERS = 1500


@dataclass
class ServerProcess:
    """A `sprocket-grpc serve` on a port of its own.

    Attributes:
        settings: Its settings: `{"pool_size": "1"}` sets SPROCKET_POOL_SIZE.
        log: The file to which all its processes write.
        port: The port, which stays the same.
        process: The running process: the server itself, or the supervisor of its workers.
    """

    settings: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """The address that it listens on."""
        return f"127.0.0.1:{self.port}"

    def start(self, workers: int = 1) -> None:
        """Start it, and wait until it accepts calls.

        Raises:
            RuntimeError: It did not start.
        """
        command = [sys.executable, "-m", "sprocket_grpc", "serve", "--workers", str(workers)]
        variables = environment({"listen": self.address} | self.settings)
        written = self.log_size
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)  # noqa: S603  # our own
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _READY not in (new := self.log_from(written)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {new[-_SHOWN_CHARACTERS:].strip()}")
            time.sleep(0.02)

    @property
    def log_size(self) -> int:
        """The size of the log in bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_from(self, position: int) -> str:
        """Return what it has logged after `position`, in bytes."""
        with self.log.open("rb") as written:
            written.seek(position)
            return written.read().decode(errors="replace")

    @property
    def pids(self) -> list[int]:
        """The ids of its processes that serve calls: itself, or its workers."""
        return self._workers() or [self._running.pid]

    def _workers(self) -> list[int]:
        children = Path(f"/proc/{self._running.pid}/task/{self._running.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, or to the supervisor of its workers."""
        self._running.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and return its exit status.

        Raises:
            TimeoutExpired: It still runs after a minute.
        """
        return self._running.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Kill it with SIGKILL, and its workers with it, as when a container is killed."""
        if self.process and self.process.poll() is None:
            workers = self._workers()
            self.process.kill()
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(PATIENCE_SECONDS)

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            raise RuntimeError("the server was not started")
        return self.process


@contextmanager
def new_server(url: str, log: Path, workers: int = 1, **settings: str) -> Iterator[ServerProcess]:
    """Run a server until the block ends.

    Args:
        url: The URL of its database.
        log: The file to which it logs.
        workers: The number of its processes.
        settings: Other settings: `pool_size="1"` sets SPROCKET_POOL_SIZE.
    """
    server = ServerProcess({"database_url": url, "log_level": "WARNING"} | settings, log)
    try:
        server.start(workers)
        yield server
    finally:
        server.kill()
