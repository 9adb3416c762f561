"""Runs the measured processes, and reads their CPU and memory from the kernel."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 0.005
_SHOWN_CHARACTERS = 1500
_ANNOUNCEMENT = re.compile(r" listens on (\S+:\d+),")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)

# Indexes of fields of proc_pid_stat(5), counted from after the name of the program, which may contain spaces.
_PARENT, _TIMES_OF_ENDED = 1, slice(13, 15)

_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of linux/posix-timers.h: nanoseconds, not hundredths as in proc_pid_stat(5)


class Server(NamedTuple):
    """A running server.

    Attributes:
        pid: The process id.
        address: The address that it listens on.
    """

    pid: int
    address: str


@contextmanager
def serving(url: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `sprocket-grpc serve` on a free port and a migrated database until the block ends.

    Args:
        url: The URL of the database.
        settings: Environment variables of the server.
    """
    settings = {"SPROCKET_DATABASE_URL": url, "SPROCKET_LISTEN": "127.0.0.1:0"} | dict(settings or {})
    with running("sprocket_grpc", "serve", settings=settings) as server:
        yield server


@contextmanager
def running(module: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server that prints its address until the block ends. It logs to a file, as in production.

    Raises:
        RuntimeError: The server did not start.
    """
    with running_program(sys.executable, "-m", module, *arguments, settings=settings) as server:
        yield server


@contextmanager
def running_program(*command: str | Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Do the same for any program.

    Raises:
        RuntimeError: The server did not start.
    """
    with (
        tempfile.NamedTemporaryFile("r") as output,
        open(output.name, "w") as written,  # noqa: PTH123  # a second handle of the same file
        subprocess.Popen(  # noqa: S603  # our own command
            command, env=_environment() | dict(settings or {}), stdout=written, stderr=written
        ) as process,
    ):
        try:
            yield Server(process.pid, _announced_address(process, Path(output.name)))
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_SECONDS)
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SPROCKET_", "PG"))}


def _announced_address(process: "subprocess.Popen[bytes]", output: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (announced := _ANNOUNCEMENT.search(output.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not print its address: {output.read_text()[-_SHOWN_CHARACTERS:]}")
        time.sleep(_PAUSE_SECONDS)
    return announced[1]


def run(*command: str | Path) -> str:
    """Run a program to its end, and return its standard output; standard error is passed through.

    Raises:
        CalledProcessError: The program failed.
    """
    done = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603  # as above
    return done.stdout


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, in user and kernel mode, in seconds."""
    return time.clock_gettime(~pid << 3 | _SCHEDULER_CLOCK)  # clock_getcpuclockid(3), which Python does not have


def family_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children, including those that have ended, in seconds."""
    while True:
        ended = _stat(pid)[_TIMES_OF_ENDED]
        seconds = cpu_seconds(pid)
        for child in _children(pid):
            with suppress(OSError):  # the child may have ended
                seconds += cpu_seconds(child)
        if (
            _stat(pid)[_TIMES_OF_ENDED] == ended
        ):  # else a child that has ended meanwhile is counted twice, or not at all
            return seconds + sum(map(int, ended)) / _TICKS_PER_SECOND


def _children(pid: int) -> Iterator[int]:
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the process may have ended
            if int(_stat(int(directory.name))[_PARENT]) == pid:
                yield int(directory.name)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory_megabytes(pid: int) -> float:
    """Return the resident memory of a process, in MB (10^6 bytes)."""
    return _status_megabytes(pid, "VmRSS")


def peak_memory_megabytes(pid: int) -> float:
    """Return the peak of a process's resident memory since `reset_peak_memory`, in MB (10^6 bytes)."""
    return _status_megabytes(pid, "VmHWM")


def reset_peak_memory(pid: int) -> None:
    """Set the peak to the memory that is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def _status_megabytes(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kibibytes] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kibibytes) * 1024 / 1e6
