"""What commands print, and where."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sprocket_grpc.cli.client.errors import ClientError


@contextmanager
def full_disks_told() -> Iterator[None]:
    """Say in a line that the standard output cannot be written; a reader that went away is no error to tell.

    Raises:
        ClientError: It cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # Or else Python tries what is left once more at the end, and exits with another status (its manual, "signal").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClientError(f"cannot write to the standard output: {error.strerror or error}") from error
