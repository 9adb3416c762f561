"""Formats resources as tables, CSV and JSON, page by page as they arrive."""

import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sprocket_grpc.cli.client.output import printable, to_json
from sprocket_grpc.cli.resources.values import as_json, as_text

Columns: TypeAlias = Sequence[FieldDescriptor]
Pages: TypeAlias = Iterable[Sequence[Message]]
Writer: TypeAlias = Callable[[Pages, Columns], Iterator[str]]

_GAP = "  "
_NARROWEST = 12
_QUOTE = '"'
_QUOTED = re.compile(r'[",\r\n]')


def table(pages: Pages, columns: Columns) -> Iterator[str]:
    """Yield a header and a line per resource, in aligned columns that fit the terminal, if there is one."""
    widths: list[int] = []
    for page in pages:
        rows = [[printable(each) for each in row] for row in _rows(page, columns)]
        if not widths:
            names = [each.name.upper() for each in columns]
            widths = _widths([names, *rows], columns)
            yield _line(names, widths)
        yield from (_line(row, widths) for row in rows)


def record(message: Message, columns: Columns) -> Iterator[str]:
    """Yield a line for every field of one resource."""
    [row] = _rows([message], columns)
    width = max(len(each.name) for each in columns)
    for column, cell in zip(columns, row, strict=True):
        yield f"{column.name:{width}}{_GAP}{printable(cell)}".rstrip() + "\n"


def csv_lines(pages: Pages, columns: Columns) -> Iterator[str]:
    """Yield CSV (RFC 4180, but with plain line feeds), with the names of the fields in the first line."""
    yield _csv_line([each.name for each in columns])
    for page in pages:
        yield "".join(map(_csv_line, _rows(page, columns)))


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


def _csv_line(cells: Sequence[str]) -> str:
    # Python's csv leaves a lone carriage return unquoted before 3.11.9 and 3.12.3, and cannot read it back.
    quoted = [f'"{each.replace(_QUOTE, 2 * _QUOTE)}"' if _QUOTED.search(each) else each for each in cells]
    return (",".join(quoted) or 2 * _QUOTE) + "\n"  # an empty line would be no record


def _selected(message: Message, columns: Columns) -> dict[str, Any]:
    values = as_json(message)
    return {each.name: values[each.name] for each in columns if each.name in values}


def _rows(page: Iterable[Message], columns: Columns) -> Iterator[list[str]]:
    for message in page:
        values = as_json(message)
        yield [as_text(values.get(each.name)) for each in columns]


def _widths(rows: Sequence[Sequence[str]], columns: Columns) -> list[int]:
    widths = [max(map(_width, cells)) for cells in zip(*rows, strict=True)]
    if not sys.stdout.isatty():
        return widths
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - shutil.get_terminal_size().columns
    while over > 0:
        # The widest column is shortened, but never an id, because people copy ids.
        texts = [index for index, each in enumerate(columns) if not each.name.endswith("id")]
        widest = max(texts, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        over -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(map(_fit, cells, widths)).rstrip() + "\n"


def _fit(cell: str, width: int) -> str:
    if _width(cell) > width and width >= _NARROWEST and sys.stdout.isatty():
        while _width(cell) >= width:
            cell = cell[:-1]
        cell += "…"
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """Return the width of a text in columns of a terminal, according to the tables of Unicode."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
