"""PostgreSQL servers on a TCP port that tests can kill, restart, copy to a standby, and promote."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from sprocket_grpc.storage.embedded.account import Account, account_for
from sprocket_grpc.storage.embedded.binaries import Binaries, find_binaries
from sprocket_grpc.storage.embedded.data_directory import prepare_data
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 30


@dataclass
class PostgresServer:
    """A PostgreSQL server and its data directory.

    Attributes:
        directory: The data directory.
        account: The OS user that runs it.
        binaries: The programs of PostgreSQL.
        port: The port that it listens on, on the loopback interface.
        process: The running process.
    """

    directory: Path
    account: Account
    binaries: Binaries
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address that it listens on."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `postgres`."""
        return f"postgresql+psycopg://postgres@{self.address}/postgres"

    def start(self) -> None:
        """Start the server, crash-safe as by default, and wait until it accepts connections."""
        words = ["-D", str(self.directory), "-p", str(self.port), "-k", ""]
        options = ["listen_addresses=127.0.0.1", "shared_buffers=16MB", "wal_receiver_status_interval=1s"]
        settings = [word for option in options for word in ("-c", option)]
        with Path(f"{self.directory}.log").open("ab") as log:
            program = self.binaries.directory / "postgres"
            self.process = self.account.start(program, *words, *settings, stdin=subprocess.DEVNULL, output=log)
        wait_until(self._answers)

    def kill(self) -> None:
        """Kill all its processes with SIGKILL: data that is not on disk is lost, as in a crash of the machine."""
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)  # so that it starts no other process
        others = _children(self.process.pid)
        for pid in (self.process.pid, *others):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        # The next server cannot start while a process uses the shared memory.
        wait_until(lambda: not any(map(_is_running, others)))

    def stop(self) -> None:
        """Stop the server with an immediate shutdown."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE_SECONDS)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in autocommit mode, and return its rows."""
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def copy(self, directory: Path) -> "PostgresServer":
        """Create a standby in a directory, which replicates this server once it is started."""
        source = f"host=127.0.0.1 port={self.port} user=postgres"
        words = ["--pgdata", str(directory), "--dbname", source, "--write-recovery-conf", "--checkpoint=fast"]
        done = self.account.run(self.binaries.directory / "pg_basebackup", *words)
        assert done.returncode == 0, done.stderr
        return PostgresServer(directory, self.account, self.binaries)

    def promote(self) -> None:
        """Promote this standby to a primary."""
        assert self.query("SELECT pg_promote(true, 60)") == [(True,)]

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, Path(f"{self.directory}.log").read_text()[-1500:]
        try:
            return self.query("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False


def _children(pid: int) -> list[int]:
    """Return the processes whose parent is a process."""
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _stat(int(each.name))[1:2] == [str(pid)]]


def _is_running(pid: int) -> bool:
    """Whether a process runs and is not a zombie."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """Return the state, the parent and more of a process, from proc_pid_stat(5); nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


@contextmanager
def new_postgres() -> Iterator[PostgresServer]:
    """Create and start a server; stop it in the end, and delete its files."""
    base = Path(tempfile.mkdtemp(prefix="sprocket-tests-"))
    account = account_for(base / "primary")
    account.give(base)
    base.chmod(0o755)
    server = PostgresServer(base / "primary", account, find_binaries(account, None))
    try:
        with (base / "lock").open("w") as lock:
            prepare_data(server.directory, server.binaries, account, lock.fileno(), durable=False)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(base)


@contextmanager
def new_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Create and start a standby of a server, and stop it in the end."""
    standby = primary.copy(primary.directory.with_name("standby"))
    try:
        standby.start()
        yield standby
    finally:
        standby.stop()
