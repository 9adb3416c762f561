"""Makes the data directory, and refuses one that is not ours to use."""

import shutil
from pathlib import Path
from typing import IO

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.binaries import Binaries
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError


def prepare_data(directory: Path, binaries: Binaries, account: Account, lock: IO[str], *, durable: bool) -> None:
    """Make the data directory, unless it is there already.

    Args:
        directory: Where the data is to be.
        binaries: The PostgreSQL that makes it, and is to run on it.
        account: The owner of the data.
        lock: An open file whose lock guards the directory, and which we hold.
        durable: Whether the new data must survive a power cut.

    Raises:
        EmbeddedDatabaseError: It cannot be made, or is of another version, or holds something else.
        OSError: Likewise.
    """
    version_file = directory / "PG_VERSION"
    if not version_file.exists():
        if directory.exists() and any(directory.iterdir()):
            raise EmbeddedDatabaseError(
                f"{directory} holds something other than PostgreSQL's data:"
                " choose another directory by SPROCKET_EMBEDDED_DIRECTORY"
            )
        _make(directory, binaries, account, lock, durable=durable)
    version = version_file.read_text().strip()
    if version != str(binaries.major_version):
        raise EmbeddedDatabaseError(
            f"{directory} was made by PostgreSQL {version}, and this is {binaries.major_version}: set"
            f" SPROCKET_EMBEDDED_BINARIES to the programs of {version}, or delete {directory}, or choose another"
            " directory by SPROCKET_EMBEDDED_DIRECTORY"
        )


def _make(directory: Path, binaries: Binaries, account: Account, lock: IO[str], *, durable: bool) -> None:
    fresh = Path(f"{directory}.new")  # so that `directory` is either complete or absent
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account.give(fresh)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
    if binaries.major_version >= 17:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not durable:
        options += ["--no-sync"]
    # it inherits the lock: should we be killed, nobody comes between while it still writes
    done = account.run(binaries.directory / "initdb", "-D", fresh, *options, keep_open=[lock.fileno()])
    if done.returncode != 0:
        raise EmbeddedDatabaseError(f"initdb could not make {directory}: {done.stderr.strip()}")
    fresh.rename(directory)
