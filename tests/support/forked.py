"""Runs `sprocket-grpc` in a process that is forked from one that has imported it already.

A command has its own process, environment, output and signals, as one that a shell starts. Only its imports are made
once for all tests, because they take CPU: 0.15 s for a client command, and 0.8 s for `serve`. Tests of the start itself
run the program.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, TypeAlias

from sprocket_grpc.__main__ import main

_forking = get_context("forkserver")
_forking.set_forkserver_preload(["tests.support.forked_imports"])

_END_SECONDS = 60
"""How long a process may take to end when its context ends: whoever does not wait for it has killed it."""


class Command(NamedTuple):
    """What a process runs.

    Attributes:
        arguments: The arguments of `sprocket-grpc`.
        variables: Its environment.
        errors: The file for its standard error; None for that of the tests.
    """

    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    errors: Path | None = None


def new_process(command: Command) -> subprocess.Popen[str]:
    """Run a command in a process that imports everything itself. It also leads a process group."""
    program = [sys.executable, "-m", "sprocket_grpc", *command.arguments]
    with command.errors.open("wb") if command.errors else nullcontext() as errors:
        return subprocess.Popen(
            program, env=command.variables, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )


class ForkedProcess:
    """A process that runs a command, with the methods of `subprocess.Popen`; its context ends when it has ended.

    It leads a session and a process group, so that a test can send it Ctrl-C alone.

    Attributes:
        stdout: What it prints.
    """

    def __init__(self, command: Command) -> None:
        """Start the process."""
        reading, writing = _forking.Pipe(duplex=False)
        with reading, writing:
            self._process = _forking.Process(target=_run, args=(command, Path.cwd(), writing))
            self._process.start()
            self.stdout: IO[str] = os.fdopen(os.dup(reading.fileno()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stdout.close()
        self.wait(_END_SECONDS)
        self._process.close()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit status once the process has ended.

        Raises:
            TimeoutExpired: It runs longer than `timeout` seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("sprocket-grpc", timeout)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, None]:
        """Return the rest of its output once the process has ended, as `wait` does."""
        read: list[str] = []
        reader = Thread(target=lambda: read.append(self.stdout.read()), daemon=True)
        reader.start()
        self.wait(timeout)
        reader.join(timeout)
        if not read:  # another process still has its output
            raise subprocess.TimeoutExpired("sprocket-grpc", timeout)
        return read[0], None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


def _run(command: Command, directory: Path, writing: Any) -> None:
    """Become the command, in the forked process."""
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(command.variables)
    _redirect(1, writing)
    if command.errors:
        _redirect(2, command.errors.open("wb", buffering=0))
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    sys.argv = ["sprocket-grpc", *command.arguments]
    try:
        main()
    finally:
        logging.shutdown()  # multiprocessing ends processes without the functions of atexit


def _redirect(number: int, target: Any) -> None:
    """Let a file descriptor of this process be another file, which has no other descriptor then."""
    with target:
        os.dup2(target.fileno(), number)


Process: TypeAlias = ForkedProcess | subprocess.Popen[str]
