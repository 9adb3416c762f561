"""PostgreSQL servers of a test's own, on a TCP port, which can be killed, started again, copied and promoted."""

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
    """A server, and its data.

    Attributes:
        directory: The data.
        port: Where it listens, on the loopback interface.
        process: Its process, while it runs.
    """

    directory: Path
    account: Account
    binaries: Binaries
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its database `postgres`."""
        return f"postgresql+psycopg://postgres@{self.address}/postgres"

    def start(self) -> None:
        """Start it, as safe against crashes as PostgreSQL is by default, and wait until it takes connections."""
        words = ["-D", str(self.directory), "-p", str(self.port), "-k", ""]
        options = ["listen_addresses=127.0.0.1", "shared_buffers=16MB", "wal_receiver_status_interval=1s"]
        settings = [word for option in options for word in ("-c", option)]
        with Path(f"{self.directory}.log").open("ab") as log:
            program = self.binaries.directory / "postgres"
            self.process = self.account.start(program, *words, *settings, stdin=subprocess.DEVNULL, output=log)
        wait_until(self._answers)

    def kill(self) -> None:
        """End all its processes on the spot, as a crash of its machine does to what has not reached the disk."""
        assert self.process
        others = [pid for (pid,) in self.query("SELECT pid FROM pg_stat_activity")]
        for pid in (self.process.pid, *others):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        # As long as one of them has the shared memory, the next server does not start.
        wait_until(lambda: not any(map(_runs, others)))

    def stop(self) -> None:
        """End it as quickly as can be done properly."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE_SECONDS)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement outside of any transaction, and return its rows, if it has any."""
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def copy(self, directory: Path) -> "PostgresServer":
        """Make a standby of it, which follows it once it is started."""
        source = f"host=127.0.0.1 port={self.port} user=postgres"
        words = ["--pgdata", str(directory), "--dbname", source, "--write-recovery-conf", "--checkpoint=fast"]
        done = self.account.run(self.binaries.directory / "pg_basebackup", *words)
        assert done.returncode == 0, done.stderr
        return PostgresServer(directory, self.account, self.binaries)

    def promote(self) -> None:
        """Make a primary of a standby."""
        assert self.query("SELECT pg_promote(true, 60)") == [(True,)]

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, Path(f"{self.directory}.log").read_text()[-1500:]
        try:
            return self.query("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False


def _runs(pid: int) -> bool:
    """Whether a process has not ended, by proc_pid_stat(5): one that has may still be there for its parent to see."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


@contextmanager
def new_postgres() -> Iterator[PostgresServer]:
    """Make a server and start it; in the end it is stopped, and all that is in the directory above its data deleted."""
    base = Path(tempfile.mkdtemp(prefix="sprocket-tests-"))
    account = account_for(base / "primary")
    account.give(base)
    base.chmod(0o755)
    server = PostgresServer(base / "primary", account, find_binaries(account, None))
    try:
        with (base / "lock").open("w") as lock:
            prepare_data(server.directory, server.binaries, account, lock, durable=False)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(base)


@contextmanager
def new_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Make a standby of a server and start it; in the end it is stopped."""
    standby = primary.copy(primary.directory.with_name("standby"))
    try:
        standby.start()
        yield standby
    finally:
        standby.stop()
