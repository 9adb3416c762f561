"""The guard: stops the server when no user is left.

Every user holds a shared lock. The guard waits for an exclusive lock, which it gets when the last user has ended.
"""

import fcntl
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from sprocket_grpc.storage.embedded.lock_files import private_file, wait_for
from sprocket_grpc.storage.embedded.pid_file import end_server
from sprocket_grpc.storage.embedded.places import beside

_STOP_SECONDS = 60


def main(directory: Path, guarding: int, *, is_temporary: bool) -> None:
    """Wait until no user is left, stop the server, and delete temporary data.

    Args:
        directory: The data directory.
        guarding: The descriptor of the lock that shows that this process is running.
        is_temporary: Whether to delete the parent of `directory`, with all that is in it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager may send them to all processes
        signal.signal(number, signal.SIG_IGN)
    with suppress(FileNotFoundError), private_file(beside(directory, "users")) as users:  # its directory may be deleted
        fcntl.flock(users, fcntl.LOCK_EX)
        end_server(directory, _STOP_SECONDS)
        if is_temporary:
            _delete(directory)
        os.close(guarding)  # before the other lock: the next user must see that there is no guard


def _delete(directory: Path) -> None:
    """Delete the parent of the data directory."""
    with private_file(beside(directory, "lock")) as lock:
        wait_for(lock, fcntl.LOCK_EX, _STOP_SECONDS)  # for an initdb whose user was killed
        shutil.rmtree(directory.parent, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), is_temporary=sys.argv[3:] == ["temporary"])
