"""What commands print and write: text that is safe to show, standard output, and files that are replaced as a whole.

No other module of the client commands writes to standard output, except for the drawings of `chart`.
"""

import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

_SPACES = "Zs"
_ERASE_LINE = "\r\x1b[K"


def printable(text: str) -> str:
    r"""Return a text with escapes such as \x1b for what moves the cursor, or colours, hides or reorders text."""
    if text.isprintable():
        return text
    return "".join(each if _is_safe(each) else each.encode("unicode_escape").decode() for each in text)


def printable_lines(text: str) -> str:
    """Return a text like `printable`, but with its line feeds."""
    return "\n".join(map(printable, text.split("\n")))


def to_json(value: object, indent: int | None = None) -> str:
    """Return a value as JSON that is safe to show, and equal to the value: unsafe characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(each if _is_safe(each) or each == "\n" else _escaped_in_json(each) for each in text)


def prepare_streams() -> None:
    """Let standard output escape what its encoding does not have, such as with LC_ALL=C or PYTHONIOENCODING=ascii.

    The null device takes the place of a closed standard input or error.

    Raises:
        click.ClickException: Standard output is closed.
    """
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115  # open until the process ends
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115  # as above
    if sys.stdout is None:
        raise click.ClickException("cannot write to standard output: it is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Print lines for people. On a terminal, unsafe characters are escaped."""
    sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def write_data(texts: Iterable[str]) -> None:
    """Write lines for programs: to a terminal like `show`, or else in UTF-8 and exactly as they are."""
    if sys.stdout.isatty():
        for each in texts:
            show(each)
        return
    sys.stdout.flush()
    for each in texts:
        sys.stdout.buffer.write(each.encode())
    sys.stdout.buffer.flush()


def warn(text: str) -> None:
    """Print a line on standard error, in place of a progress bar if there is one."""
    before = _ERASE_LINE if sys.stderr.isatty() else ""
    click.echo(before + printable(text), err=True)


def _is_safe(character: str) -> bool:
    # Spaces other than U+0020 only look like it. Python calls them unprintable.
    return character.isprintable() or unicodedata.category(character) == _SPACES


def _escaped_in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    return "".join(f"\\u{unit}" for unit in units)


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

    If `path` is a device or a pipe, which must not be replaced, it is yielded itself.

    Raises:
        click.ClickException: The file cannot be written.
    """
    target, is_special = path.resolve(), path.exists() and not path.is_file()
    # In the same directory, because a rename cannot cross file systems. The suffix selects the format.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield path if is_special else temporary
        if not is_special:
            temporary.replace(target)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
