"""Files that are there whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sprocket_grpc.cli.client.errors import ClientError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which takes the place of `path` if nothing goes wrong.

    Raises:
        ClientError: It cannot be written.
    """
    target = path.resolve()
    # Beside it, for a rename does not cross file systems; its suffix says of what kind it is.
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield beside
        beside.replace(target)
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror or error}; `--output` names another file") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
