"""Formats resources as tables, CSV and JSON, page by page as they arrive."""

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sprocket_grpc.cli.client.output import printable, to_json, warn
from sprocket_grpc.cli.resources.layout import GAP, Columns, Layout, is_number, lay_out, width_of
from sprocket_grpc.cli.resources.values import as_json, as_text

Pages: TypeAlias = Iterable[Sequence[Message]]
Writer: TypeAlias = Callable[[Pages, Columns], Iterator[str]]

_QUOTE = '"'
_QUOTED = re.compile(r'["\r\n]')
_TO_THE_MINUTE = len("2026-01-31T12:00")
_NAMES_IN_PACKAGES = {"sprocket.v1.AuditEntry.method", "sprocket.v1.AuditEntry.resource_type"}


def table(pages: Pages, columns: Columns, *, may_leave_out: bool = False) -> Iterator[str]:
    """Yield a heading and a line per resource, in aligned columns that fit the terminal, if there is one.

    Args:
        pages: The resources.
        columns: The fields.
        may_leave_out: Whether a narrow terminal gets fewer columns. Those left out are named on standard error.
    """
    layout: Layout | None = None
    for page in pages:
        rows = [[_cell(*each) for each in zip(columns, row, strict=True)] for row in _rows(page, columns)]
        if layout is None:
            layout = lay_out(columns, rows, _terminal_width(), may_leave_out=may_leave_out)
            yield from _heading(layout, columns)
        yield from (_line([row[index] for index in layout.shown], layout, columns) for row in rows)
    if layout:
        _name_left_out(layout, columns)


def record(message: Message, columns: Columns) -> Iterator[str]:
    """Yield a line for every field of one resource."""
    [row] = _rows([message], columns)
    width = max(len(each.name) for each in columns)
    for column, cell in zip(columns, row, strict=True):
        yield f"{column.name:{width}}{GAP}{printable(cell)}".rstrip() + "\n"


def csv_lines(pages: Pages, columns: Columns, delimiter: str = ",") -> Iterator[str]:
    """Yield CSV (RFC 4180, but with plain line feeds), with the names of the fields in the first line."""
    yield _csv_line([each.name for each in columns], delimiter)
    for page in pages:
        yield "".join(_csv_line(row, delimiter) for row in _rows(page, columns))


def json_array(pages: Pages, columns: Columns) -> Iterator[str]:
    """Yield a JSON array with one object per line, so that line-based tools can read and compare it."""
    before = "[\n"
    for line in _objects(pages, columns):
        yield before + line
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def json_lines(pages: Pages, columns: Columns) -> Iterator[str]:
    """Yield a JSON object per line."""
    return (f"{line}\n" for line in _objects(pages, columns))


def json_object(message: Message, columns: Columns) -> str:
    """Return one resource as JSON."""
    return to_json(_selected(message, columns), indent=2) + "\n"


def _objects(pages: Pages, columns: Columns) -> Iterator[str]:
    return (to_json(_selected(each, columns)) for page in pages for each in page)


def _csv_line(cells: Sequence[str], delimiter: str) -> str:
    return (
        delimiter.join(_quoted(each, delimiter) for each in cells) or 2 * _QUOTE
    ) + "\n"  # an empty line is no record


def _quoted(cell: str, delimiter: str) -> str:
    # Python's csv leaves a lone carriage return unquoted before 3.11.9 and 3.12.3, and cannot read it back.
    return f'"{cell.replace(_QUOTE, 2 * _QUOTE)}"' if delimiter in cell or _QUOTED.search(cell) else cell


def _selected(message: Message, columns: Columns) -> dict[str, Any]:
    values = as_json(message)
    return {each.name: values[each.name] for each in columns if each.name in values}


def _rows(page: Iterable[Message], columns: Columns) -> Iterator[list[str]]:
    for message in page:
        values = as_json(message)
        yield [as_text(values.get(each.name)) for each in columns]


def _cell(column: FieldDescriptor, text: str) -> str:
    """Return what a table shows of a value: times in UTC to the minute, and the last word of the name of a method."""
    if column.message_type and column.message_type.full_name == "google.protobuf.Timestamp":
        return text[:_TO_THE_MINUTE].replace("T", " ")
    if column.full_name in _NAMES_IN_PACKAGES:
        return printable(re.split(r"[/.]", text)[-1])
    return printable(text)


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _heading(layout: Layout, columns: Columns) -> Iterator[str]:
    for line in zip_longest(*layout.headings, fillvalue=""):
        yield _line(line, layout, columns)


def _line(cells: Sequence[str], layout: Layout, columns: Columns) -> str:
    parts = [
        _fit(cell, width, is_right=is_number(columns[index]))
        for index, cell, width in zip(layout.shown, cells, layout.widths, strict=True)
    ]
    return GAP.join(parts).rstrip() + "\n"


def _fit(cell: str, width: int, *, is_right: bool) -> str:
    if width_of(cell) > width and sys.stdout.isatty() and not is_right:
        while width_of(cell) >= width:
            cell = cell[:-1]
        cell += "…"
    padding = " " * (width - width_of(cell))
    return padding + cell if is_right else cell + padding


def _name_left_out(layout: Layout, columns: Columns) -> None:
    names = [each.name for index, each in enumerate(columns) if index not in layout.shown]
    if names:
        text = f"left out, because the terminal is narrow: {', '.join(names)}; --columns selects fields"
        for line in textwrap.wrap(text, shutil.get_terminal_size().columns):
            warn(line)
