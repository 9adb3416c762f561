"""PgBouncer in transaction mode in front of a PostgreSQL, as a separate process."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.support.ports import free_port
from tests.support.postgresql import PATIENCE_SECONDS, PostgresServer
from tests.support.waiting import wait_until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed: .ci/programs installs it")

# PgBouncer rejects startup parameters that it does not track.
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={target} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
query_wait_timeout = 3
server_login_retry = 1
"""


@dataclass
class Pooler:
    """A PgBouncer, and its configuration.

    Attributes:
        server: The PostgreSQL behind it.
        connections: The number of server connections per database.
        port: The port that it listens on, on the loopback interface.
        process: The running process.
    """

    server: PostgresServer
    connections: int = 2
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database `postgres`, through PgBouncer."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start PgBouncer as the OS user that runs PostgreSQL, and wait until it accepts connections."""
        assert PROGRAM
        file = self.server.directory.with_name("pgbouncer.ini")
        file.write_text(_CONFIGURATION.format(target=self.server.port, port=self.port, connections=self.connections))
        with file.with_suffix(".log").open("ab") as log:
            self.process = self.server.account.start(Path(PROGRAM), file, stdin=subprocess.DEVNULL, output=log)
        wait_until(self._answers)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.server.directory.with_name("pgbouncer.log").read_text()[-1500:]
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def new_pooler(server: PostgresServer) -> Iterator[Pooler]:
    """Run a PgBouncer in front of a server until the block ends."""
    pooler = Pooler(server)
    try:
        pooler.start()
        yield pooler
    finally:
        if pooler.process:
            pooler.kill()
