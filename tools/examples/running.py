"""Builds and runs one example program, and checks its output."""

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
_BROKE = "the stream broke; resuming after the last response"
_FOLLOWS = f"goal {GOAL_BEFORE}, actual 0"

EXPECTED = [
    "listed 93 sprockets on 3 pages",
    "created factory <id>; a retry with the same request_id returned <id>",
    "refused: ERROR_REASON_INVALID_FIELD: location.display_name, location.country_code",
    "following factory <id>",
    _FOLLOWS,
    _BROKE,
    f"goal {GOAL_AFTER}, actual 0",
]
"""The output of every program, in any language, with <id> for the factory that it creates."""

_SHOWN_LINES = 30


class ExampleError(Exception):
    """The build of a program failed, or its output is wrong."""


def toolchain(program: Program) -> str:
    """Return the version of a program's toolchain."""
    done = subprocess.run(program.version, capture_output=True, check=True, text=True)  # noqa: S603  # our own command
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "?"


def build(program: Program, environment: dict[str, str]) -> None:
    """Build a program.

    Raises:
        ExampleError: The build failed.
    """
    for command in program.build:
        _build(program, command, environment)


def _build(program: Program, command: Command, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # our own command
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
    """A running program.

    Attributes:
        lines: Its output until now, with standard error.
        followed: The id of the factory that it follows; None before it does.
    """

    def __init__(self, program: Program, server: str) -> None:
        self.program = program
        self.lines: list[str] = []
        self.followed: str | None = None
        self._follows = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603  # our own command
            program.start,
            cwd=program.directory,
            env=os.environ | {"SPROCKET_CLIENT_SERVER": server},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_following(self) -> None:
        """Wait until the program follows a chart, ends, or exceeds the time limit."""
        self._follows.wait(RUN_SECONDS)

    def check(self) -> None:
        """Wait for the end of the program, and check its status and output.

        Raises:
            ExampleError: The program failed, or its output is wrong.
        """
        try:
            self._process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        if self._process.wait() or normalized(self.lines) != EXPECTED:
            raise ExampleError(f"it ended with status {self._process.wait()} and printed:\n{_tail(self.lines)}")

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
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


def normalized(lines: list[str]) -> list[str]:
    """Return the lines with <id> for the first id in them, and consecutive lines about a broken stream as one."""
    first = _ID.search("\n".join(lines))
    masked = [line.replace(first[0], "<id>") if first else line for line in lines]
    return [line for before, line in zip(["", *masked], masked, strict=False) if line != before or line != _BROKE]


def _tail(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])


def _written(command: Command) -> str:
    return " ".join(Path(part).name if isinstance(part, Path) else part for part in command)
