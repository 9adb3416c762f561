"""What an import says as it goes on, and in the end."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.text import printable
from sprocket_grpc.cli.resources.importing import Outcome

_IN_PART = "an earlier import wrote the lines up to {last}, but not those it refused; import those by themselves"
_OVER_THE_BAR = "\r\x1b[K"


class Report:
    """Counts what became of the lines of a file, and tells of those that were refused."""

    def __init__(self, path: Path, kept: IO[str] | None, skipped: int) -> None:
        self._path = path
        self._kept = kept
        self._skipped = skipped
        self._created = self._found = self._unclear = self._refused = 0

    @property
    def is_good(self) -> bool:
        """Whether all is written."""
        return not self._refused and not self._unclear

    def add(self, outcome: Outcome) -> None:
        """Count lines, and say what is wrong with them."""
        self._created += outcome.created
        self._found += outcome.found
        self._unclear += outcome.unclear
        self._refused += len(outcome.refusals)
        for each in outcome.refusals:
            if self._kept and each.line.values:
                self._kept.write(json.dumps(each.line.values) + "\n")
            for text in each.texts:
                self._say(each.line.number, text)
        if outcome.unclear:
            self._say(outcome.first_line, _IN_PART.format(last=outcome.last_line))

    def stopped(self, outcome: Outcome) -> ClientError:
        """Say where the import has stopped, and how it goes on: a file that was corrected is another file."""
        number = outcome.refusals[0].line.number
        done = self._skipped + self._created + self._found + self._unclear
        return ClientError(
            f"stopped at {self._path}:{number}; the first {done} are in. Correct the file, and go on with "
            f"--skip {done}, or leave out what is wrong with --on-error continue"
        )

    def summary(self, *, validate_only: bool) -> str:
        """Say how many became what."""
        created = "could be created" if validate_only else "created"
        unclear = f", {self._unclear} unclear" if self._unclear else ""
        counts = f"{self._created} {created}, {self._found} already there, {self._refused} refused{unclear}"
        return f"{self._path}: {counts}"

    def _say(self, line: int, text: str) -> None:
        before = _OVER_THE_BAR if sys.stderr.isatty() else ""
        click.echo(before + printable(f"{self._path}:{line}: {text}"), err=True)


@contextmanager
def kept_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Open the file for what is refused, if there is to be one.

    Raises:
        ClientError: It cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        yield file
