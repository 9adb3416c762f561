"""Data directories, servers and other processes for tests of the embedded PostgreSQL."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from sprocket_grpc.storage.embedded import account, embedded_postgres
from tests.support.command_line import interruptible_environment

PROGRAM = Path(__file__).with_name("process.py")


@contextmanager
def open_directory() -> Iterator[Path]:
    """Yield a temporary directory that PostgreSQL's OS user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def copy_of(template: Path, directory: Path) -> Path:
    """Copy a data directory with its owner, which shutil does not keep; copying is faster than initdb."""
    subprocess.run(["cp", "-a", template, directory], check=True)
    return directory


def query(url: str, statement: str) -> str:
    """Run one statement, and return the first value of its result, or an empty string."""
    with psycopg.connect(host=socket_directory(url), user="postgres", dbname="postgres") as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return str(row[0]) if row else ""


def socket_directory(url: str) -> str:
    return str(make_url(url).query["host"])


def stored_teeth(directory: Path) -> str:
    """Start a server, and return the value in its only row."""
    with embedded_postgres(directory, durable=False) as url:
        return query(url, "SELECT teeth FROM sprocket")


@contextmanager
def owner(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that starts or joins a server, in its own process group."""
    command = [sys.executable, str(PROGRAM), str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=interruptible_environment(), stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.communicate(timeout=30)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def is_gone(directory: Path, url: str) -> bool:
    """Whether the server has shut down: it removes its pid file last, and the guard then removes the sockets."""
    return not (directory / "postmaster.pid").exists() and not Path(socket_directory(url)).exists()


@contextmanager
def sleeper(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an unrelated process as PostgreSQL's OS user."""
    other = account.account_for(directory)
    process = other.start("/bin/sleep", "60", stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def command_line(pid: int) -> str:
    """Return the words of the command of a process, each followed by NUL; empty if it does not exist."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def processes() -> list[int]:
    """Return the ids of all processes of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
