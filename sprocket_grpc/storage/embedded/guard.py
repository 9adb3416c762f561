"""Starts the guard: a process that stops the server after its last user, even if that was killed."""

import fcntl
import subprocess
import sys
from pathlib import Path

import sprocket_grpc
from sprocket_grpc.storage.embedded.daemon import Daemon
from sprocket_grpc.storage.embedded.lock_files import private_file, take
from sprocket_grpc.storage.embedded.places import beside

_MODULE = "sprocket_grpc.storage.embedded.guard_program"
_IMPORTED_FROM = Path(sprocket_grpc.__file__).parent.parent


def ensure_guard(directory: Path, *, is_temporary: bool = False) -> list[Daemon]:
    """Start a guard unless one is running, and return the started one.

    Args:
        directory: The data directory. This process is one of its users.
        is_temporary: Whether the guard deletes the parent of `directory` after the last user.

    Raises:
        OSError: The guard cannot be started.
    """
    with private_file(beside(directory, "guard")) as descriptor:
        if not take(descriptor, fcntl.LOCK_EX):
            return []
        # Without the packages of the environment (-S), the guard is small. It inherits the lock, which shows that it
        # is running.
        command = [sys.executable, "-s", "-S", "-m", _MODULE, str(directory), str(descriptor)]
        command += ["temporary"] if is_temporary else []
        return [
            Daemon(
                command,
                cwd="/",
                env={"PYTHONPATH": str(_IMPORTED_FROM)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[descriptor],
            )
        ]
