"""Runs the command line with a pseudo-terminal as its standard output."""

import os
import pty
import subprocess
from threading import Timer

import pytest

from tests.support.command_line import COMMAND, PATIENCE_SECONDS, Finished, environment


def open_terminal() -> tuple[int, int]:
    """Open both ends of a pseudo-terminal."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no pseudo-terminals, like some minimal containers: {error}")


def rest(terminal: int) -> bytes:
    """Return everything that is shown from now on until the other end is closed."""
    read = b""
    try:
        while some := os.read(terminal, 4096):
            read += some
    except OSError:  # on Linux: the other end is closed
        pass
    return read


def run_in_terminal(*arguments: str, columns: int = 4000, **settings: str) -> Finished:
    """Run `sprocket-grpc` to its end, like `run`, in a terminal without colours, by default wide, where no is typed."""
    ours, theirs = open_terminal()
    variables = environment(settings) | {"COLUMNS": str(columns), "LINES": "30", "NO_COLOR": "1", "TERM": "xterm"}
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, env=variables, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        bound = Timer(PATIENCE_SECONDS, process.kill)
        bound.start()
        try:
            os.write(ours, b"n\n")
            shown = rest(ours)
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            bound.cancel()
            process.kill()
            os.close(ours)
    return Finished(process.returncode, shown.decode().replace("\r\n", "\n"), errors.decode())
