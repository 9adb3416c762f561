"""A node of the cluster: Patroni, and the PostgreSQL that it controls."""

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from reliability.ha.process import Process, children, has_word, start
from reliability.ha.programs import Programs
from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from tests.support.ports import free_port

_ANSWER_SECONDS = 3.0
_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.05


@dataclass
class Node:
    """A node.

    Attributes:
        name: Its name in the cluster.
        programs: What it is run with.
        directory: Where its data and its log are.
        variables: The part of its configuration that all nodes share.
        port: The port of its PostgreSQL.
        api: The port of Patroni's REST API.
        process: Patroni, once it was started.
    """

    name: str
    programs: Programs
    directory: Path
    variables: dict[str, str]
    port: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    process: Process | None = None

    @property
    def address(self) -> str:
        """The address of its PostgreSQL."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / self.name

    @property
    def postmaster(self) -> int:
        """The process id of its PostgreSQL; 0 if that does not run."""
        pid = read_pid_file(self.data).pid
        return pid if has_word(pid, str(self.data)) else 0

    def start(self) -> None:
        """Start Patroni, unless it runs."""
        if self.process and self.process.poll() is None:
            return
        log, configuration = self.directory / f"{self.name}.log", self.directory / "patroni.yml"
        variables = self.variables | self._own_variables()
        self.process = start(self.programs.account, log, variables, self.programs.patroni, str(configuration))

    def _own_variables(self) -> dict[str, str]:
        api = f"127.0.0.1:{self.api}"
        return {
            "PATRONI_NAME": self.name,
            "PATRONI_RESTAPI_LISTEN": api,
            "PATRONI_RESTAPI_CONNECT_ADDRESS": api,
            "PATRONI_POSTGRESQL_LISTEN": self.address,
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": self.address,
            "PATRONI_POSTGRESQL_DATA_DIR": str(self.data),
            "PATRONI_POSTGRESQL_BIN_DIR": str(self.programs.postgres),
            "PATRONI_POSTGRESQL_PGPASS": str(self.directory / f"{self.name}.pgpass"),
        }

    def ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401  # JSON
        """Call Patroni's REST API, and return its answer.

        Raises:
            OSError: It does not answer, or refuses.
        """
        connection = HTTPConnection(
            "127.0.0.1", self.api, timeout=_ANSWER_SECONDS if body is None else _PATIENCE_SECONDS
        )
        try:
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        except HTTPException as error:
            raise OSError(error) from error
        finally:
            connection.close()
        if response.status not in (200, 503):  # 503: it is no primary, say, and tells more
            raise OSError(text)
        return json.loads(text) if text.startswith(("{", "[")) else text

    def pids(self) -> list[int]:
        """Return the processes of its PostgreSQL, the first one first."""
        first = self.postmaster
        return [first, *children(first)] if first else []

    def signal_postgres(self, number: signal.Signals) -> None:
        """Send a signal to all processes of PostgreSQL."""
        send(self.pids(), number)

    def signal_patroni(self, number: signal.Signals) -> None:
        """Send a signal to Patroni."""
        if self.process:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill Patroni and PostgreSQL, and wait for the end of Patroni."""
        self.signal_patroni(signal.SIGKILL)
        self.signal_postgres(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """Kill Patroni, and stop PostgreSQL at once, so that it leaves no shared memory behind."""
        self.signal_patroni(signal.SIGKILL)
        send(self.pids()[:1], signal.SIGQUIT)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.postmaster and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.kill()

    def wait(self) -> None:
        """Wait for the end of Patroni.

        Raises:
            TimeoutExpired: It still runs after a minute.
        """
        if self.process:
            self.process.wait(_PATIENCE_SECONDS)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
