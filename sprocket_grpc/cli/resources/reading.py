"""Reads files of resources line by line, so that a file of any size fits into memory."""

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import warn
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.csv_records import Record, records, sniff
from sprocket_grpc.cli.resources.files import Source
from sprocket_grpc.cli.resources.values import columns_of, unchecked

_DELIMITER_NAMES = {";": "semicolons", "\t": "tabs"}
_PIECE = 1 << 16
_LONGEST = 1 << 26
"""The largest JSON value in characters. A file that wraps all its resources in one object is one value."""


class Line(NamedTuple):
    """One resource of a file.

    Attributes:
        number: The line where it begins, from 1 on.
        values: Its fields, as JSON values.
        problem: Why it cannot be read; empty if it can.
    """

    number: int
    values: dict[str, Any]
    problem: str = ""


def read(source: Source, resource: Resource, wrappers: set[str]) -> Iterator[Line]:
    """Yield the resources of a file.

    Args:
        source: The file.
        resource: The kind of resource that it holds.
        wrappers: Fields that may hold all resources, as in the response of a List.

    Raises:
        ClientError: The file cannot be read, or its first line is not valid.
    """
    try:
        # Invalid UTF-8 becomes surrogates, which are rejected later as the value of a field, with its line number.
        with source.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            match source.format:
                case "csv":
                    yield from _read_csv(file, source, resource)
                case "jsonl":
                    yield from _read_json_lines(file)
                case _:
                    yield from _read_json(file, wrappers)
    except OSError as error:
        raise ClientError(f"cannot read {source.name}: {error.strerror or error}") from error


def _read_csv(file: IO[str], source: Source, resource: Resource) -> Iterator[Line]:
    found, lines = sniff(file)
    if found in _DELIMITER_NAMES and not source.delimiter:
        warn(f"{source.name}: the cells are separated by {_DELIMITER_NAMES[found]}")
    rows = records(lines, source.delimiter or found)
    head = next(rows, Record(1, []))
    columns = _csv_columns(head, source.name, resource)
    for each in rows:
        if each.problem:
            yield Line(each.number, {}, each.problem)
        elif any(each.cells):  # spreadsheets write rows of empty cells
            yield _csv_line(each, columns)


def _csv_columns(head: Record, name: str, resource: Resource) -> list[FieldDescriptor | None]:
    """Return the field of each column. Spreadsheets write columns without a name, which have none."""
    names = [each for each in head.cells if each]
    if head.problem:
        raise ClientError(f"{name}:1: {head.problem}")
    if not names or len({*names}) < len(names):
        raise ClientError(f"{name}:1: expected the names of fields, without duplicates")
    try:
        fields = {each.name: each for each in columns_of(resource, names)}
    except ValueError as error:
        raise ClientError(f"{name}:1: {error}") from error
    return [fields.get(each) for each in head.cells]


def _csv_line(record: Record, columns: Sequence[FieldDescriptor | None]) -> Line:
    number, cells = record.number, record.cells
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        return Line(number, {}, f"expected {len(columns)} cells, as in the first line, not {len(cells)}")
    values: dict[str, Any] = {}
    for position, (column, cell) in enumerate(zip(columns, cells, strict=False), start=1):
        if cell and not column:
            return Line(number, {}, f"cell {position}: its column has no name in the first line")
        try:
            values |= {column.name: unchecked(column, cell)} if column and cell else {}
        except ValueError as error:
            return Line(number, {}, str(error))
    return Line(number, values)


def _read_json_lines(file: IO[str]) -> Iterator[Line]:
    for number, text in enumerate(file, start=1):
        if text.strip():
            try:
                yield _line(number, json.loads(text))
            except (ValueError, RecursionError) as error:
                yield Line(number, {}, f"not valid JSON: {error}")


def _read_json(file: IO[str], wrappers: set[str]) -> Iterator[Line]:
    """Yield the elements of an array, or consecutive values. The rest of a file after a syntax error is not read."""
    scanner = _Scanner(file)
    try:
        for number, value in scanner.elements() if scanner.next_character() == "[" else scanner.values():
            yield from _unwrapped(number, value, wrappers)
    except (ValueError, RecursionError) as error:
        yield Line(scanner.line, {}, f"not valid JSON, and the rest cannot be read: {error}")


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
    """Decodes consecutive JSON values from a file. The decoder of the standard library needs the whole text."""

    def __init__(self, file: IO[str]) -> None:
        self.line = 1
        self._file = file
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def next_character(self) -> str:
        """Skip white space, and return the next character, or an empty string at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._move(self._at + 1)
            if not self._read_more():
                return ""

    def values(self) -> Iterator[tuple[int, object]]:
        """Yield the remaining values with their line numbers.

        Raises:
            ValueError: The text is not valid JSON.
        """
        while self.next_character():
            yield self.line, self._value()

    def elements(self) -> Iterator[tuple[int, object]]:
        """Yield the elements of the array that begins here, with their line numbers.

        Raises:
            ValueError: The text is not valid JSON.
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
            raise ValueError(f"expected {expected or 'the end of the file'}, not {found or 'the end of the file'}")
        self._move(self._at + 1)

    def _value(self) -> object:
        """Return the value that begins here.

        Raises:
            ValueError: The text is not valid JSON, or the value is too long.
        """
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if not self._read_more():
                    raise
                continue
            if end < len(self._text) or not self._read_more():  # else a number may continue
                self._move(end)
                return value

    def _move(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _read_more(self) -> bool:
        """Read at least as much as is buffered, so that a long value is decoded only a few times."""
        rest = self._text[self._at :]
        if len(rest) > _LONGEST:
            raise ValueError(f"a value is longer than {_LONGEST} characters")
        more = self._file.read(max(_PIECE, len(rest)))
        self._text, self._at = rest + more, 0
        return bool(more)
