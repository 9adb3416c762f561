"""Reports the progress and the result of an import."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import warn
from sprocket_grpc.cli.resources.import_batch import Outcome

_PARTLY_WRITTEN = (
    "an earlier import wrote the lines from here to {last}, except those it refused; import those separately"
)


class Report:
    """Counts the outcomes of the lines of a file, and prints the errors of refused lines."""

    def __init__(self, name: str, refused_file: IO[str] | None, skipped: int) -> None:
        self._name = name
        self._refused_file = refused_file
        self._skipped = skipped
        self._created = self._found = self._unclear = self._refused = 0
        self._first_refused: tuple[int, int] | None = None

    @property
    def is_good(self) -> bool:
        """Whether every line is written."""
        return not self._refused and not self._unclear

    @property
    def _done(self) -> int:
        """The number of resources that need no further import."""
        return self._skipped + self._created + self._found + self._unclear

    def add(self, outcome: Outcome) -> None:
        """Count the lines of an outcome, and print their errors."""
        if outcome.refusals and not self._first_refused:
            self._first_refused = (outcome.refusals[0].line.number, self._done)
        self._created += outcome.created
        self._found += outcome.found
        self._unclear += outcome.unclear
        self._refused += len(outcome.refusals)
        for each in outcome.refusals:
            if self._refused_file and each.line.values:
                _write(self._refused_file, json.dumps(each.line.values) + "\n")
            for text in each.texts:
                self._print_error(each.line.number, text)
        if outcome.unclear:
            self._print_error(outcome.first_line, _PARTLY_WRITTEN.format(last=outcome.last_line))

    def stopped(self) -> ClientError | None:
        """Return the error that says where the import stopped and how to continue; None if no line was refused.

        The way to continue works for a corrected file. Calls that were in flight may have written later lines.
        """
        if self._first_refused is None:
            return None
        number, done = self._first_refused
        refused, correct = "", "Correct the file"
        if self._done > done:
            done = self._done + self._refused
            refused = f", except {self._refused} refused ones, because several are written at a time"
            correct = "Correct and import the refused ones separately"
        return ClientError(
            f"stopped at {self._name}:{number}; the first {done} resources are imported{refused}. {correct} and "
            f"continue with --skip {done}, or skip invalid lines with --on-error continue"
        )

    def summary(self, *, validate_only: bool) -> str:
        """Return the counts of all outcomes."""
        created = "could be created" if validate_only else "created"
        unclear = f", {self._unclear} unclear" if self._unclear else ""
        counts = f"{self._created} {created}, {self._found} already there, {self._refused} refused{unclear}"
        return f"{self._name}: {counts}"

    def _print_error(self, line: int, text: str) -> None:
        warn(f"{self._name}:{line}: {text}")


@contextmanager
def open_refused_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Yield the open file for refused lines, or None if no path is given.

    Raises:
        ClientError: The file cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("w", buffering=1, encoding="utf-8")
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield file
    finally:
        with suppress(OSError):  # a line that cannot be written is reported by `_write`
            file.close()


def _write(file: IO[str], line: str) -> None:
    try:
        file.write(line)
    except OSError as error:
        raise ClientError(f"cannot write {file.name}: {error.strerror or error}") from error
