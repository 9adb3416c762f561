"""Builds and runs one example program, and judges it by what it says."""

import os
import re
import subprocess
import threading
from pathlib import Path

from tools.examples.programs import Command, Program

BUILD_SECONDS = 600
RUN_SECONDS = 120
GOAL_BEFORE, GOAL_AFTER = 10, 12

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BROKE = "the stream broke; going on after what has come"
_FOLLOWS = f"goal {GOAL_BEFORE}, actual 0"

EXPECTED = [
    "listed 93 sprockets on 3 pages",
    "created factory <id>, and by the same request again <id>",
    "refused: ERROR_REASON_INVALID_FIELD: location.display_name, location.country_code",
    "following factory <id>",
    _FOLLOWS,
    _BROKE,
    f"goal {GOAL_AFTER}, actual 0",
]
"""What every program says, whatever its language, with <id> for the one factory that it makes."""

_LINES_OF_TROUBLE = 30


class ExampleError(Exception):
    """A program cannot be built, or does not do what it is there to show."""


def toolchain(program: Program) -> str:
    """Return the version of a program's toolchain."""
    said = subprocess.run(program.version, capture_output=True, check=True, text=True)  # noqa: S603  # our own
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    return found[0] if found else "?"


def build(program: Program, environment: dict[str, str]) -> None:
    """Build a program.

    Raises:
        ExampleError: It cannot be built.
    """
    for command in program.build:
        _build(program, command, environment)


def _build(program: Program, command: Command, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # our own
            command,
            cwd=program.directory,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ExampleError(f"`{_written(command)}` took more than {BUILD_SECONDS} s") from error
    if done.returncode:
        raise ExampleError(f"`{_written(command)}` failed:\n{_tail(done.stdout.splitlines())}")


class Run:
    """A program that runs.

    Attributes:
        lines: What it has said until now, errors included.
        followed: The factory whose chart it follows, as soon as it does.
    """

    def __init__(self, program: Program, server: str) -> None:
        self.program = program
        self.lines: list[str] = []
        self.followed: str | None = None
        self._follows = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603  # our own
            program.start,
            cwd=program.directory,
            env=os.environ | {"SPROCKET_CLIENT_SERVER": server},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_it_follows(self) -> None:
        """Wait until it follows a chart, or has ended, or is too late."""
        self._follows.wait(RUN_SECONDS)

    def judge(self) -> None:
        """Wait for its end.

        Raises:
            ExampleError: It failed, or has not said what it is there to show.
        """
        try:
            self._process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        if self._process.wait() or what_it_showed(self.lines) != EXPECTED:
            raise ExampleError(f"it ended with status {self._process.wait()} and had said:\n{_tail(self.lines)}")

    def kill(self) -> None:
        """Let nothing be left of it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip())
            if line.startswith("following factory "):
                self.followed = line.split()[-1]
            if line.rstrip() == _FOLLOWS:
                self._follows.set()
        self._follows.set()


def what_it_showed(lines: list[str]) -> list[str]:
    """Return the lines with <id> for the first id in them, and what is said again and again only once."""
    first = _ID.search("\n".join(lines))
    masked = [line.replace(first[0], "<id>") if first else line for line in lines]
    return [line for before, line in zip(["", *masked], masked, strict=False) if line != before or line != _BROKE]


def _tail(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines[-_LINES_OF_TROUBLE:])


def _written(command: Command) -> str:
    return " ".join(Path(part).name if isinstance(part, Path) else part for part in command)
