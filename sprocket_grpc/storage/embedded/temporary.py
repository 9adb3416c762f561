"""A PostgreSQL for tests: its data is deleted when it ends, even if this process is killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sprocket_grpc.storage.embedded.ownership import embedded_postgres

_MEMORY = Path("/dev/shm")  # noqa: S108  # mkdtemp makes a unique name in it
_REQUIRED_BYTES = 4 << 30


@contextmanager
def temporary_postgres(binaries: Path | None = None) -> Iterator[str]:
    """Run a PostgreSQL until the block ends, and yield its URL. Its data is not durable, and in memory if it fits.

    Args:
        binaries: The directory of the programs of PostgreSQL. None means the wheel, PATH and the usual directories.

    Raises:
        EmbeddedDatabaseError: PostgreSQL cannot be started.
    """
    # Not in pytest's own directories: under root, PostgreSQL runs as another user, who cannot enter them.
    directory = Path(tempfile.mkdtemp(prefix="sprocket-tests-", dir=_memory_directory()))
    directory.chmod(0o755)
    try:
        with embedded_postgres(directory / "data", durable=False, is_temporary=True, binaries=binaries) as url:
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # the guard has deleted it, unless it was killed


def _memory_directory() -> Path | None:
    """Return a directory in memory, or None if it has too little space or TMPDIR names another directory.

    A database has 300 files. Some file systems take 0.2 s to create them after as many have been deleted.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _REQUIRED_BYTES else None
