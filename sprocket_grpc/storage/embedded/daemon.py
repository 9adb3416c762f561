"""A process that may outlive the one that starts it."""

import subprocess


class Daemon(subprocess.Popen[bytes]):
    """A process that may outlive this one, so that no warning says that it is still running."""

    def __del__(self) -> None:
        """Do nothing, unlike the base class."""
