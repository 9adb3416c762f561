"""What commands print and write: text that is safe to show, standard output, and files that are replaced as a whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Return a text without characters that move the cursor, change colours or break the line."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


@contextmanager
def checked_stdout() -> Iterator[None]:
    """Report a failed write to standard output, such as on a full disk, in one line.

    A reader that closed its pipe is no error: click ends the command for it.

    Raises:
        click.ClickException: Standard output cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python flushes standard output once more at exit, and would fail again with another status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.ClickException(f"cannot write to standard output: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces `path` when the block succeeds, and is deleted otherwise.

    Raises:
        click.ClickException: The file cannot be written.
    """
    target = path.resolve()
    # In the same directory, because a rename cannot cross file systems. The suffix selects the format.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}; `--output` names another file"
        raise click.ClickException(printable(message)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
