"""Creates the data directory, and rejects a directory that cannot be used."""

import shutil
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account
from sprocket_grpc.storage.embedded.binaries import Binaries
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError


def prepare_data(directory: Path, binaries: Binaries, account: Account, lock: int, *, durable: bool) -> None:
    """Create the data directory if it does not exist.

    Args:
        directory: The data directory.
        binaries: The PostgreSQL that creates the data and serves it.
        account: The owner of the data.
        lock: The descriptor of the locked file that protects the directory.
        durable: Whether new data must survive a power failure.

    Raises:
        EmbeddedDatabaseError: The directory cannot be created, is of another version, or contains something else.
        OSError: The directory cannot be read or created.
    """
    version_file = directory / "PG_VERSION"
    if not version_file.exists():
        if directory.exists() and any(directory.iterdir()):
            raise EmbeddedDatabaseError(
                f"{directory} contains something other than PostgreSQL's data:"
                " set SPROCKET_EMBEDDED_DIRECTORY to another directory"
            )
        _create(directory, binaries, account, lock, durable=durable)
    version = version_file.read_text().strip()
    if version != str(binaries.major_version):
        raise EmbeddedDatabaseError(
            f"{directory} was made by PostgreSQL {version}, but the installed version is {binaries.major_version}: set"
            f" SPROCKET_EMBEDDED_BINARIES to the programs of PostgreSQL {version}, or delete {directory}, or set"
            " SPROCKET_EMBEDDED_DIRECTORY to another directory"
        )


def _create(directory: Path, binaries: Binaries, account: Account, lock: int, *, durable: bool) -> None:
    fresh = Path(f"{directory}.new")  # so that `directory` is either complete or absent
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    account.give(fresh)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
    if binaries.major_version >= 17:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not durable:
        options += ["--no-sync"]
    # initdb inherits the lock, so that it is held until initdb ends even if this process is killed
    done = account.run(binaries.directory / "initdb", "-D", fresh, *options, keep_open=[lock])
    if done.returncode != 0:
        raise EmbeddedDatabaseError(f"initdb cannot create {directory}: {done.stderr.strip()}")
    fresh.rename(directory)
