"""Runs the command line as users and orchestrators do: in processes, with a clean environment and real signals."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.forked import Command, ForkedProcess, Process, new_process
from tests.support.ports import free_address

PATIENCE_SECONDS = 60
COMMAND = (sys.executable, "-m", "sprocket_grpc")
_END_OF_ANNOUNCEMENT = "Press Ctrl-C to stop."


class Finished(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    output: str
    errors: str

    def assert_refused(self) -> None:
        """Check that the command failed with an error message and without a traceback."""
        assert self.status == 1, self
        assert self.errors.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in self.errors


@dataclass
class ServeProcess:
    """A running `sprocket-grpc serve`.

    Attributes:
        process: The process, which is the leader of its own process group.
        errors: The file with its standard error.
        lines: The lines that it printed until it was ready.
    """

    process: Process
    errors: Path
    lines: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address in its output."""
        [line] = [line for line in self.lines if " listens on " in line]
        return line.partition(" listens on ")[2].partition(",")[0]

    def signal(self, number: signal.Signals) -> None:
        """Send SIGINT to the process group, as a terminal does for Ctrl-C, and other signals to the process."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    @property
    def logged(self) -> str:
        """What it has written to standard error so far."""
        return self.errors.read_text()

    def end(self) -> Finished:
        """Wait for the end of the process, and return its status and output."""
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return Finished(self.process.wait(PATIENCE_SECONDS), "\n".join([*self.lines, output]), self.logged)


def run(*arguments: str, **settings: str) -> Finished:
    """Run `sprocket-grpc` to its end, with settings: `pool_size="1"` sets SPROCKET_POOL_SIZE."""
    with _started(*arguments, variables=environment(settings)) as (process, errors):
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        return Finished(process.wait(PATIENCE_SECONDS), output, errors.read_text())


def run_program(*command: str, **settings: str) -> Finished:
    """Run a program to its end, with settings in its environment."""
    variables = environment(settings)
    done = subprocess.run(command, capture_output=True, check=False, env=variables, text=True, timeout=PATIENCE_SECONDS)
    return Finished(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(*options: str, **settings: str) -> Iterator[ServeProcess]:
    """Run `serve`, on a free port unless `listen` is set; yield it once it is ready, and kill it in the end."""
    variables = environment({"listen": free_address()} | settings)
    with _started("serve", *options, variables=variables) as started:
        served = ServeProcess(*started)
        served.lines.extend(_announcement(served))
        yield served


@contextmanager
def _started(*arguments: str, variables: dict[str, str]) -> Iterator[tuple[Process, Path]]:
    """Start a command, yield its process and the file of its standard error, and kill it in the end."""
    with tempfile.NamedTemporaryFile() as errors:
        is_forked = _read_at_start(variables) == _FORKED_WITH
        command = Command(arguments, variables, Path(errors.name))
        with ForkedProcess(command) if is_forked else new_process(command) as process:
            try:
                yield process, Path(errors.name)
            finally:
                process.kill()


def _read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Python and gRPC read only when they start."""
    return {name: value for name, value in variables.items() if name.startswith(("PYTHON", "GRPC_", "LANG", "LC_"))}


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of this process with the given settings, without its SPROCKET_* and PG* variables.

    GRPC_VERBOSITY=NONE is left out: client commands set it, also when tests run them in this process.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith(("SPROCKET_", "PG"))}
    if others.get("GRPC_VERBOSITY") == "NONE":
        del others["GRPC_VERBOSITY"]
    return others | {f"SPROCKET_{name.upper()}": value for name, value in settings.items()}


def interruptible_environment() -> dict[str, str]:
    """Return the environment for a process that a test ends with SIGINT, without coverage measurement.

    With concurrency = greenlet, coverage 7.17 looks up the current greenlet at every function call, and ignores any
    exception during this lookup. So a KeyboardInterrupt at that moment is lost.
    """
    return {name: value for name, value in environment({}).items() if not name.startswith("COVERAGE_")}


def _announcement(served: ServeProcess) -> Iterator[str]:
    assert served.process.stdout
    for line in served.process.stdout:
        yield line.rstrip("\n")
        if line.startswith(_END_OF_ANNOUNCEMENT):
            return
    raise AssertionError(f"the server ended before it was ready: {served.end()}")


_FORKED_WITH = _read_at_start(environment({}))
