"""The directories of the embedded PostgreSQL."""

import os
import time
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

# for root, because the user that PostgreSQL runs as cannot enter root's home
SYSTEM_DIRECTORY = Path("/var/lib/sprocket-grpc")


def default_directory() -> Path:
    """Return the default data directory."""
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY / "postgresql"
    data_home = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():  # relative paths are ignored, by the XDG specification
        data_home = Path.home() / ".local" / "share"
    return data_home / "sprocket-grpc" / "postgresql"


def beside(directory: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a data directory: its lock, its users, its guard or its log."""
    return Path(f"{directory}.{suffix}")


def make_parents(directory: Path, account: Account) -> None:
    """Create the missing parents of `directory`, an absolute path.

    Only the user can enter them, or all users if PostgreSQL runs as another one.

    Raises:
        EmbeddedDatabaseError: The user cannot enter an existing parent.
        OSError: A directory cannot be created.
    """
    present = next(parent for parent in directory.parents if parent.exists())
    if closed := _first_closed(present, account):
        raise EmbeddedDatabaseError(
            f"{directory}: PostgreSQL, which runs as {account.name}, cannot enter {closed}:"
            " set SPROCKET_EMBEDDED_DIRECTORY to another directory"
        )
    make_missing(directory.parent, 0o755 if account.credentials else 0o700)


def _first_closed(directory: Path, account: Account) -> Path | None:
    """Return the first directory on a path that the user cannot enter for a second, or None.

    Another process may have created a directory and not have changed its mode yet.
    """
    for _ in range(10):
        if account.can_enter(directory):
            return None
        time.sleep(0.1)
    parents = (*reversed(directory.parents), directory)
    return next((parent for parent in parents if not account.can_enter(parent)), None)


def make_missing(directory: Path, mode: int) -> None:
    """Create `directory` and its missing parents with a mode, for any umask. Existing ones are not changed.

    Raises:
        OSError: A directory cannot be created.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
