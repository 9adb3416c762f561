"""The server's libraries, which the extra `cli` does not install."""

from collections.abc import Iterator
from contextlib import contextmanager

from sprocket_grpc.errors import ExpectedError

_OWN_PACKAGES = {"sprocket", "sprocket_grpc"}


@contextmanager
def server_libraries(needed: str) -> Iterator[None]:
    """Import modules that need the server's libraries.

    Args:
        needed: What the command needs, for the error.

    Raises:
        ExpectedError: A library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if is_own_module(error):
            raise
        raise ExpectedError(f"{needed}; {error.name} is not installed") from error


def is_own_module(error: ModuleNotFoundError) -> bool:
    """Return whether the missing module belongs to this package, which is a defect and not a missing library."""
    return root_package(error) in _OWN_PACKAGES


def root_package(error: ModuleNotFoundError) -> str:
    """Return the top-level package of the missing module."""
    return (error.name or "").partition(".")[0]
