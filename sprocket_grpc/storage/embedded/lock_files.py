"""Files beside the data directory: for their owner only, and never through a link, and locks on them.

The kernel releases a lock when its process ends, in any way. Processes that fork share their locks.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

_POLL_SECONDS = 0.02


@contextmanager
def private_file(path: Path, flags: int = 0) -> Iterator[int]:
    """Yield a descriptor of a file that only its owner can read, and create the file if it does not exist.

    Raises:
        OSError: The file cannot be opened, or is a link: another user may have put it there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # a former version has created it for all users
        yield descriptor
    finally:
        os.close(descriptor)


def take(descriptor: int, kind: int) -> bool:
    """Take a shared or exclusive lock without waiting, and return whether it was available."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    return False


def wait_for(descriptor: int, kind: int, seconds: float) -> bool:
    """Wait for a shared or exclusive lock, and return whether it became available in time."""
    deadline = time.monotonic() + seconds
    while not take(descriptor, kind):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@contextmanager
def turn(path: Path, seconds: float) -> Iterator[int]:
    """Hold the lock of a file, in which one process at a time starts, joins or leaves, and yield the descriptor.

    Raises:
        EmbeddedDatabaseError: Another process holds it for too long. The text names that process.
        OSError: The file cannot be opened, or is a link.
    """
    with private_file(path) as descriptor:
        if not wait_for(descriptor, fcntl.LOCK_EX, seconds):
            raise EmbeddedDatabaseError(
                f"process {os.pread(descriptor, 20, 0).decode()} holds {path}, but its PostgreSQL does not answer:"
                " stop that process, or set SPROCKET_EMBEDDED_DIRECTORY to another directory"
            )
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)  # for the error of waiting processes
        yield descriptor
