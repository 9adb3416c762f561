"""Files of resources, read line by line and never all in memory."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.tables import Columns
from sprocket_grpc.cli.resources.values import columns_of, unchecked

SUFFIXES = (".csv", ".json", ".jsonl")

_PIECE = 1 << 16
_LONGEST = 1 << 26
"""How many characters one JSON value may have: no more than a file that holds all in one object may well have."""


class Line(NamedTuple):
    """What a file says of one resource.

    Attributes:
        number: The line where it begins, from 1 on.
        values: Its fields, as in JSON.
        problem: Why it cannot be read, or nothing.
    """

    number: int
    values: dict[str, Any]
    problem: str = ""


def read(path: Path, resource: Resource, wrappers: set[str]) -> Iterator[Line]:
    """Read a file by its suffix.

    Args:
        path: The file.
        resource: What it holds.
        wrappers: Fields of an object that may hold all of them, as in the response of a list.

    Raises:
        ClientError: It cannot be read at all.
    """
    try:
        # What is not UTF-8 is found where it stands: a text with these surrogates is refused as a value.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            match path.suffix.lower():
                case ".csv":
                    yield from _read_csv(file, path, resource)
                case ".jsonl":
                    yield from _read_json_lines(file)
                case _:
                    yield from _read_json(file, wrappers)
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror or error}") from error


def _read_csv(file: IO[str], path: Path, resource: Resource) -> Iterator[Line]:
    rows = csv.reader(file, strict=True)
    try:
        names = next(rows, [])
        columns = columns_of(resource, names)
    except (ValueError, csv.Error) as error:
        raise ClientError(f"{path}:1: {error}") from error
    if not names or len({*names}) < len(names):
        raise ClientError(f"{path}:1: expected the names of fields, each once")
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Line(number, {}, f"this is no CSV: {error}")
            continue
        if row is None:
            return
        if row:
            yield _csv_line(number, columns, row)


def _csv_line(number: int, columns: Columns, row: list[str]) -> Line:
    if len(row) != len(columns):
        return Line(number, {}, f"expected {len(columns)} cells, as in the first line, not {len(row)}")
    try:
        cells = zip(columns, row, strict=True)
        return Line(number, {each.name: unchecked(each, cell) for each, cell in cells if cell})
    except ValueError as error:
        return Line(number, {}, str(error))


def _read_json_lines(file: IO[str]) -> Iterator[Line]:
    for number, text in enumerate(file, start=1):
        if text.strip():
            try:
                yield _line(number, json.loads(text))
            except (ValueError, RecursionError) as error:
                yield Line(number, {}, f"this is no JSON: {error}")


def _read_json(file: IO[str], wrappers: set[str]) -> Iterator[Line]:
    """Read an array, or values one after the other. What is broken ends it: nobody knows where the next begins."""
    scanner = _Scanner(file)
    try:
        for number, value in scanner.elements() if scanner.next_character() == "[" else scanner.values():
            yield from _unwrapped(number, value, wrappers)
    except (ValueError, RecursionError) as error:
        yield Line(scanner.line, {}, f"this is no JSON, and the rest cannot be read: {error}")


def _unwrapped(number: int, value: object, wrappers: set[str]) -> Iterator[Line]:
    if isinstance(value, dict):
        for name in wrappers & value.keys():
            if isinstance(value[name], list):
                yield from (_line(number, each) for each in value[name])
                return
    yield _line(number, value)


def _line(number: int, value: object) -> Line:
    return Line(number, value) if isinstance(value, dict) else Line(number, {}, "expected a JSON object with fields")


class _Scanner:
    """Decodes JSON values one after the other. The standard library's decoder knows whole texts only."""

    def __init__(self, file: IO[str]) -> None:
        self.line = 1
        self._file = file
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def next_character(self) -> str:
        """Skip white space, and return what comes then, or nothing at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._move(self._at + 1)
            if not self._read_more():
                return ""

    def values(self) -> Iterator[tuple[int, object]]:
        """Yield values, each with its line, up to the end.

        Raises:
            ValueError: What comes is no JSON.
        """
        while self.next_character():
            yield self.line, self._value()

    def elements(self) -> Iterator[tuple[int, object]]:
        """Yield the elements of the array that begins here, each with its line.

        Raises:
            ValueError: It is no JSON.
        """
        self._move(self._at + 1)
        if self.next_character() != "]":
            yield self.line, self._value()
            while self.next_character() == ",":
                self._move(self._at + 1)
                self.next_character()
                yield self.line, self._value()
        self._expect("]")
        self._expect("")

    def _expect(self, expected: str) -> None:
        if (found := self.next_character()) != expected:
            raise ValueError(f"expected {expected or 'the end'}, not {found or 'the end'}")
        self._move(self._at + 1)

    def _value(self) -> object:
        """Decode what begins here.

        Raises:
            ValueError: It is no JSON, or too long.
        """
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if not self._read_more():
                    raise
                continue
            if end < len(self._text) or not self._read_more():  # or else a number may go on
                self._move(end)
                return value

    def _move(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _read_more(self) -> bool:
        """Read as much again as is there, so that a long value is not decoded too often."""
        rest = self._text[self._at :]
        if len(rest) > _LONGEST:
            raise ValueError("a value does not end")
        more = self._file.read(max(_PIECE, len(rest)))
        self._text, self._at = rest + more, 0
        return bool(more)
