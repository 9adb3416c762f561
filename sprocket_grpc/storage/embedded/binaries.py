"""Finds the programs of PostgreSQL."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError
from sprocket_grpc.storage.embedded.wheel import wheel_binaries

_SYSTEM_DIRECTORIES = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL.

    Attributes:
        directory: The directory of the programs.
        major_version: The major version, on which the format of data directories depends.
    """

    directory: Path
    major_version: int


def find_binaries(account: Account, chosen: Path | None) -> Binaries:
    """Return the first PostgreSQL that the user can run.

    Args:
        account: The user who runs it.
        chosen: The only directory to search. None means the wheel, PATH and the usual directories.

    Raises:
        EmbeddedDatabaseError: No PostgreSQL is found.
    """
    searched = []
    for directory in [chosen] if chosen else _usual_directories():
        if major_version := _major_version(directory, account):
            return Binaries(directory, major_version)
        searched.append(str(directory))
    where = f" that {account.name} can run in {', '.join(searched)}" if searched else ""
    raise EmbeddedDatabaseError(
        f"no PostgreSQL found{where}: run pip install 'sprocket-grpc[embedded]' or apt-get install postgresql,"
        " or set SPROCKET_DATABASE_URL"
    )


def _usual_directories() -> Iterator[Path]:
    yield from wheel_binaries()
    if program := shutil.which("initdb"):
        yield Path(program).resolve().parent
    for pattern in _SYSTEM_DIRECTORIES:
        yield from sorted(Path("/").glob(pattern), key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _major_version(directory: Path, account: Account) -> int | None:
    with suppress(OSError):  # initdb is missing, or the user cannot execute it
        done = account.run(directory / "initdb", "--version")
        if done.returncode == 0 and (match := re.search(r"\d+", done.stdout)):
            return int(match[0])
    return None
