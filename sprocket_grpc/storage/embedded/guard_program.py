"""The guard: stops the server when no user is left.

Every user holds a shared lock. The guard waits for an exclusive lock, which it gets when the last user has ended.
"""

import fcntl
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from sprocket_grpc.storage.embedded.lock_files import private_file
from sprocket_grpc.storage.embedded.pid_file import end_server
from sprocket_grpc.storage.embedded.places import beside

_STOP_SECONDS = 60


def main(directory: Path, guarding: int) -> None:
    """Wait until no user is left, and stop the server.

    Args:
        directory: The data directory.
        guarding: The descriptor of the lock that shows that this process is running.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager may send them to all processes
        signal.signal(number, signal.SIG_IGN)
    with suppress(FileNotFoundError), private_file(beside(directory, "users")) as users:  # its directory may be deleted
        fcntl.flock(users, fcntl.LOCK_EX)
        end_server(directory, _STOP_SECONDS)
        os.close(guarding)  # before the other lock: the next user must see that there is no guard


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
