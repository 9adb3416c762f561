"""The user that PostgreSQL runs as: the current user, unless that is root, as which PostgreSQL refuses to run."""

import os
import pwd
import subprocess
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

from sprocket_grpc.storage.embedded.daemon import Daemon
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

# To find programs and libraries, and the time zone of the log. Not TMPDIR, which another user may not be able to enter.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")

_USERS_INSTEAD_OF_ROOT = ("postgres", "nobody")


class Credentials(TypedDict, total=False):
    """The arguments of subprocess to run a program as another user; empty for the current user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """Runs programs as one user, in the directory `/` and without the caller's environment.

    Attributes:
        name: The name of the user in messages.
        credentials: The arguments of subprocess to become the user.
    """

    name: str
    credentials: Credentials

    def run(self, *command: str | Path, keep_open: Collection[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program, and return its result with the captured output.

        Args:
            command: The program and its arguments.
            keep_open: File descriptors that the program inherits.

        Raises:
            OSError: The user cannot execute the program.
        """
        return subprocess.run(  # noqa: S603  # the programs are PostgreSQL's and sh, and no shell sees the arguments
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

    def start(self, *command: str | Path, stdin: int, output: int | IO[bytes]) -> Daemon:
        """Start a program in a session of its own, so that Ctrl-C does not reach it.

        Args:
            command: The program and its arguments.
            stdin: The `stdin` argument of subprocess.
            output: The `stdout` and `stderr` arguments of subprocess.

        Raises:
            OSError: The user cannot execute the program.
        """
        return Daemon(
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
        """Whether the user can enter a directory. This is tried out, because file modes do not show ACLs and mounts."""
        return self.run("/bin/sh", "-c", 'cd -- "$1"', "sh", directory).returncode == 0

    def give(self, path: Path) -> None:
        """Make the user the owner of `path`."""
        if self.credentials:
            os.chown(path, self.credentials["user"], self.credentials["group"])


def account_for(directory: Path) -> Account:
    """Return the user to run PostgreSQL as, for a data directory that need not exist.

    Raises:
        EmbeddedDatabaseError: The current user is root, and no other suitable user exists.
    """
    if os.geteuid() != 0:
        return Account("you", {})
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        # Only the owner of the data can start PostgreSQL: a user who runs this with sudo, or `nobody`.
        return _other_account(f"uid {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in _USERS_INSTEAD_OF_ROOT:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _other_account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedDatabaseError(
        "PostgreSQL cannot run as root, and the users 'postgres' and 'nobody' do not exist:"
        " run this command as another user, or create one with: useradd --system postgres"
    )


def _other_account(name: str, user: int, group: int) -> Account:
    return Account(name, {"user": user, "group": group, "extra_groups": []})


def _environment() -> dict[str, str]:
    """Return the variables that PostgreSQL needs: those of the server may hold secrets."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {"LC_ALL": "C"}
