"""The server for the examples: new, with sample data, and restarted while they follow charts."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from sprocket.v1.factory_pb2 import Factory, ListFactoriesRequest, UpdateFactoryRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub

_PATIENCE_SECONDS = 60
_ANNOUNCEMENT = " listens on "


class Server:
    """A `sprocket-grpc serve` with an embedded PostgreSQL, on a free port that stays the same after a restart.

    Attributes:
        address: The address that it listens on.
    """

    def __init__(self, directory: Path) -> None:
        self._settings = {"SPROCKET_EMBEDDED_DIRECTORY": str(directory / "data"), "SPROCKET_LOG_LEVEL": "WARNING"}
        self.address = "127.0.0.1:0"
        self._start()

    def restart(self) -> None:
        """Stop the server as orchestrators do, and start it again on the same address, with the same data."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Stop the server with SIGTERM.

        Raises:
            RuntimeError: The exit status of the server is not 0.
        """
        self._process.terminate()
        if self._process.wait(_PATIENCE_SECONDS):
            raise RuntimeError(f"the server ended with status {self._process.returncode}")

    def kill(self) -> None:
        """Kill the server, and wait for its end."""
        self._process.kill()
        self._process.communicate()

    def factories(self) -> list[Factory]:
        """Return all factories."""
        with grpc.insecure_channel(self.address) as channel:
            request = ListFactoriesRequest(page_size=1000)
            return list(FactoryServiceStub(channel).ListFactories(request, timeout=_PATIENCE_SECONDS).factories)

    def change_goals(self, factory_ids: Iterable[str], goal: int) -> None:
        """Change the goal of factories, from a client of its own."""
        with grpc.insecure_channel(self.address) as channel:
            stub = FactoryServiceStub(channel)
            for each in factory_ids:
                changed = Factory(id=each, sprocket_production_goal=goal)
                request = UpdateFactoryRequest(factory=changed, request_id=str(uuid.uuid4()))
                stub.UpdateFactory(request, timeout=_PATIENCE_SECONDS)

    def _start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPROCKET_", "PG"))}
        command = [sys.executable, "-m", "sprocket_grpc", "serve"]
        environment = inherited | self._settings | {"SPROCKET_LISTEN": self.address}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
        for line in self._process.stdout or ():
            if _ANNOUNCEMENT in line:
                self.address = line.partition(_ANNOUNCEMENT)[2].partition(",")[0]
                return
        raise RuntimeError("the server ended before it printed its address")


@contextmanager
def fresh_server() -> Iterator[Server]:
    """Run a new server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="sprocket-examples-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # when root runs this, PostgreSQL runs as another user
        server = Server(directory)
        try:
            yield server
            server.stop()
        finally:
            server.kill()
