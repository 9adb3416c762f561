"""The account that PostgreSQL runs as: our own, unless that is root, whom PostgreSQL refuses."""

import os
import pwd
import subprocess
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

_ACCOUNTS_FOR_ROOT = ("postgres", "nobody")


class Credentials(TypedDict, total=False):
    """The arguments of subprocess for running a program as somebody else; without them it runs as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """Runs programs as one account, away from our working directory and from a person's locale and PG* settings.

    Attributes:
        name: What a person is told that it is called.
        credentials: What it takes to become it.
    """

    name: str
    credentials: Credentials

    def run(self, *command: str | Path, keep_open: Collection[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with its output captured.

        Args:
            command: The program and its arguments.
            keep_open: File descriptors that the program inherits.

        Raises:
            OSError: The account cannot execute the program.
        """
        return subprocess.run(  # noqa: S603 - the programs are PostgreSQL's and sh, and no shell sees the arguments
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            pass_fds=keep_open,
            **self.credentials,
        )

    def start(self, *command: str | Path, stdin: int, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, which Ctrl-C does not reach: it is to end after us, not with us.

        Args:
            command: The program and its arguments.
            stdin: Its standard input, in the terms of subprocess.
            output: Its standard output and error, likewise.

        Raises:
            OSError: The account cannot execute the program.
        """
        return subprocess.Popen(  # noqa: S603 - as above
            command,
            cwd="/",
            env=_environment(),
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **self.credentials,
        )

    def can_enter(self, directory: Path) -> bool:
        """Whether all of the path is open to the account; it is tried, for modes do not tell of ACLs and mounts."""
        return self.run("/bin/sh", "-c", 'cd -- "$1"', "sh", directory).returncode == 0

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.credentials:
            os.chown(path, self.credentials["user"], self.credentials["group"])


def account_for(directory: Path) -> Account:
    """Return the account to run PostgreSQL as on the data in `directory`, which need not exist.

    Raises:
        EmbeddedDatabaseError: We are root, and there is no other account.
    """
    if os.geteuid() != 0:
        return Account("you", {})
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        # nobody else could start it: the data is of a user who is now using sudo, or older than the account postgres
        return _other_account(f"uid {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in _ACCOUNTS_FOR_ROOT:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _other_account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedDatabaseError(
        "PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody' to run it as:"
        " run this as an ordinary user, or add one by: useradd --system postgres"
    )


def _other_account(name: str, user: int, group: int) -> Account:
    return Account(name, {"user": user, "group": group, "extra_groups": []})


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "LC_", "PG"))}
    return kept | {"LC_ALL": "C"}
