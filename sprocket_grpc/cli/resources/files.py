"""The files that are imported and exported, and their formats; - stands for standard input and output."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from sprocket_grpc.cli.client.errors import ClientError

_F = TypeVar("_F", bound=Callable[..., object])

DASH = "-"
_TABS = ("tab", "\t", "\\t")
FORMATS = ("csv", "json", "jsonl")


class Source(NamedTuple):
    """A file to import.

    Attributes:
        name: Its name in messages.
        path: Where it can be read, more than once.
        format: Its format, one of `FORMATS`.
        delimiter: The character between the cells of CSV, or None to find it in the first line.
    """

    name: str
    path: Path
    format: str
    delimiter: str | None = None


class _DelimiterType(click.ParamType[str]):
    """Parses the character between the cells of CSV."""

    name = "character"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in _TABS:
            return "\t"
        if len(value) != 1 or not value.isascii() or not value.isprintable() or value.isalnum() or value in ' "_':
            self.fail(f"expected a character such as , ; or |, or the word tab, not {value!r}", param, ctx)
        return value


def format_option(command: _F) -> _F:
    """Add the option that sets the format of FILE."""
    text = "The format of FILE. Default: the end of its name; required for -."
    return click.option("--format", "format_", type=click.Choice(FORMATS), help=text)(command)


def delimiter_option(default: str) -> Callable[[_F], _F]:
    """Return the option that sets the character between the cells of CSV.

    Args:
        default: What happens without it, for its help.
    """
    text = f"The character between the cells of CSV, such as ; or | or the word tab. Default: {default}."
    return click.option("--delimiter", type=_DelimiterType(), help=text)


def check_delimiter(kind: str, delimiter: str | None) -> None:
    """Check that a delimiter is given only for CSV.

    Raises:
        click.UsageError: It is given for another format.
    """
    if delimiter and kind != "csv":
        raise click.UsageError(f"--delimiter is for CSV, not for {kind}")


def format_of(file: str, chosen: str | None) -> str:
    """Return the format of a file.

    Args:
        file: Its name, or -.
        chosen: The value of `--format`.

    Raises:
        click.UsageError: The name says nothing about the format, and neither does the option.
    """
    suffix = Path(file).suffix.lower().removeprefix(".")
    if chosen or suffix in FORMATS:
        return chosen or suffix
    if file == DASH:
        raise click.UsageError(f"--format: expected one of {', '.join(FORMATS)} for -")
    known = ", ".join(f".{each}" for each in FORMATS)
    raise click.UsageError(f"FILE: expected a name that ends with one of {known}, or --format")


@contextmanager
def opened_source(file: str, chosen: str | None, delimiter: str | None = None) -> Iterator[Source]:
    """Yield a file to import. What can be read only once is kept in a temporary file until the block ends.

    Raises:
        click.UsageError: Its format is unknown.
        ClientError: It cannot be kept.
    """
    kind = format_of(file, chosen)
    check_delimiter(kind, delimiter)
    name = "standard input" if file == DASH else file
    if file != DASH and Path(file).is_file():
        yield Source(name, Path(file), kind, delimiter)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "input"
        try:
            with click.open_file(file, "rb") as original, path.open("wb") as copy:
                shutil.copyfileobj(original, copy)
        except OSError as error:
            raise ClientError(f"cannot keep {name} in {directory}: {error.strerror or error}") from error
        yield Source(name, path, kind, delimiter)
