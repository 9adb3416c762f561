"""The server that the examples call: fresh, with sample data, and restarted when they have begun to follow."""

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
    """A `sprocket-grpc serve` with a PostgreSQL of its own, on a free port that it keeps.

    Attributes:
        address: Where it listens.
    """

    def __init__(self, directory: Path) -> None:
        self._settings = {"SPROCKET_EMBEDDED_DIRECTORY": str(directory / "data"), "SPROCKET_LOG_LEVEL": "WARNING"}
        self.address = "127.0.0.1:0"
        self._start()

    def restart(self) -> None:
        """Stop it as orchestrators do, and start it again at the same address, with the same data."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Stop it with SIGTERM.

        Raises:
            RuntimeError: It did not end well.
        """
        self._process.terminate()
        if self._process.wait(_PATIENCE_SECONDS):
            raise RuntimeError(f"the server ended with status {self._process.returncode}")

    def kill(self) -> None:
        """Let nothing be left of it."""
        self._process.kill()
        self._process.communicate()

    def factories(self) -> list[Factory]:
        """Return all factories."""
        with grpc.insecure_channel(self.address) as channel:
            request = ListFactoriesRequest(page_size=1000)
            return list(FactoryServiceStub(channel).ListFactories(request, timeout=_PATIENCE_SECONDS).factories)

    def change_goals(self, factory_ids: Iterable[str], goal: int) -> None:
        """Change the goal of some factories, as another client than the examples."""
        with grpc.insecure_channel(self.address) as channel:
            stub = FactoryServiceStub(channel)
            for each in factory_ids:
                changed = Factory(id=each, sprocket_production_goal=goal)
                request = UpdateFactoryRequest(factory=changed, request_id=str(uuid.uuid4()))
                stub.UpdateFactory(request, timeout=_PATIENCE_SECONDS)

    def _start(self) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SPROCKET_", "PG"))}
        command = [sys.executable, "-m", "sprocket_grpc", "serve"]
        environment = ours | self._settings | {"SPROCKET_LISTEN": self.address}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
        for line in self._process.stdout or ():
            if _ANNOUNCEMENT in line:
                self.address = line.partition(_ANNOUNCEMENT)[2].partition(",")[0]
                return
        raise RuntimeError("the server ended without saying where it listens")


@contextmanager
def fresh_server() -> Iterator[Server]:
    """Run one until the block ends."""
    with tempfile.TemporaryDirectory(prefix="sprocket-examples-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # under root, PostgreSQL runs as an account that has to get through
        server = Server(directory)
        try:
            yield server
            server.stop()
        finally:
            server.kill()
