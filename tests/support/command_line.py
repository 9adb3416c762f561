"""The command line as people and orchestrators use it: real processes, none of our own settings, real signals."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from tests.support.ports import free_address

PATIENCE_SECONDS = 60
COMMAND = (sys.executable, "-m", "sprocket_grpc")
_END_OF_ANNOUNCEMENT = "Ctrl-C stops it."


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    errors: str

    def assert_refused(self) -> None:
        """Check that a person was told, and not shown what is inside."""
        assert self.status == 1, self
        assert self.errors.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in self.errors


@dataclass
class ServeProcess:
    """A `sprocket-grpc serve` that runs.

    Attributes:
        process: Its process, which leads a process group of its own.
        errors: The file that takes its standard error.
        lines: What it has printed until it was ready.
    """

    process: subprocess.Popen[str]
    errors: IO[str]
    lines: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it says that it listens."""
        [line] = [line for line in self.lines if " listens on " in line]
        return line.partition(" listens on ")[2].partition(",")[0]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal the way it comes: SIGTERM to the process, and Ctrl-C to all that run in the terminal."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self) -> Finished:
        """Wait for its end, and return all it said."""
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.errors.seek(0)
        return Finished(self.process.returncode, "\n".join([*self.lines, output]), self.errors.read())


def run(*arguments: str, **settings: str) -> Finished:
    """Run `sprocket-grpc` to its end, with these settings: `pool_size="1"` is SPROCKET_POOL_SIZE."""
    return run_program(*COMMAND, *arguments, **settings)


def run_program(*command: str, **settings: str) -> Finished:
    """Run a program to its end, with these settings."""
    variables = environment(settings)
    done = subprocess.run(command, capture_output=True, check=False, env=variables, text=True, timeout=PATIENCE_SECONDS)
    return Finished(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(*options: str, **settings: str) -> Iterator[ServeProcess]:
    """Run `serve` on a free port, unless told otherwise; yield it once it is ready, and let nothing be left of it."""
    variables = environment({"listen": free_address()} | settings)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*COMMAND, "serve", *options],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            served = ServeProcess(process, errors)
            served.lines.extend(_announcement(served))
            yield served
        finally:
            process.kill()


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of this process with these settings and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("SPROCKET_", "PG"))}
    return others | {f"SPROCKET_{name.upper()}": value for name, value in settings.items()}


def interruptible_environment() -> dict[str, str]:
    """Return the environment for a process that Ctrl-C is to end, in which coverage is not measured.

    With concurrency = greenlet, coverage 7.17 looks up at every call of a function which greenlet runs, and takes each
    exception there for an unknown greenlet: a KeyboardInterrupt that comes just then is lost.
    """
    return {name: value for name, value in environment({}).items() if not name.startswith("COVERAGE_")}


def _announcement(served: ServeProcess) -> Iterator[str]:
    assert served.process.stdout
    for line in served.process.stdout:
        yield line.rstrip("\n")
        if line.startswith(_END_OF_ANNOUNCEMENT):
            return
    raise AssertionError(f"it ended before it was ready: {served.end()}")
