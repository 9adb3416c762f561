"""Where things are kept."""

import os
import time
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

# root's own home is closed to the account that PostgreSQL runs as
SYSTEM_DIRECTORY = Path("/var/lib/sprocket-grpc")


def default_directory() -> Path:
    """Return where the data is kept between runs when nothing is said."""
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY / "postgresql"
    data_home = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():  # the XDG specification has relative ones ignored
        data_home = Path.home() / ".local" / "share"
    return data_home / "sprocket-grpc" / "postgresql"


def make_parents(directory: Path, account: Account) -> None:
    """Make what is missing above `directory`, an absolute path, open for the account.

    Raises:
        EmbeddedDatabaseError: Something above is closed to the account.
        OSError: A directory cannot be made.
    """
    present = next(parent for parent in directory.parents if parent.exists())
    if closed := _first_closed(present, account):
        raise EmbeddedDatabaseError(
            f"{directory}: PostgreSQL, which runs as {account.name}, cannot enter {closed}:"
            " choose another directory by SPROCKET_EMBEDDED_DIRECTORY"
        )
    make_open(directory.parent)


def _first_closed(directory: Path, account: Account) -> Path | None:
    """Return the first part of a path that is closed to the account, if it stays so for a second.

    Another process may have made a directory just now, and not have opened it yet.
    """
    for _ in range(10):
        if account.can_enter(directory):
            return None
        time.sleep(0.1)
    parents = (*reversed(directory.parents), directory)
    return next((parent for parent in parents if not account.can_enter(parent)), None)


def make_open(directory: Path) -> None:
    """Make `directory` and what is missing above it, for everybody to enter; what is there stays as it is.

    Raises:
        OSError: A directory cannot be made.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)  # whatever the umask is
