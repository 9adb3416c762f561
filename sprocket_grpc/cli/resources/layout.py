"""Chooses the columns of a table and their widths, so that no line is wider than the terminal."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Columns: TypeAlias = Sequence[FieldDescriptor]
Cells: TypeAlias = Sequence[Sequence[str]]

GAP = "  "
_NARROWEST = 10
"""The width below which texts are not shortened: a column is left out instead."""

_TEXT = FieldDescriptor.CPPTYPE_STRING
_NOT_NUMBERS = {_TEXT, FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_MESSAGE}


class Layout(NamedTuple):
    """The columns of a table that are shown.

    Attributes:
        shown: The positions of these columns among all.
        headings: The lines of their headings.
        widths: Their widths.
    """

    shown: list[int]
    headings: list[list[str]]
    widths: list[int]

    @property
    def width(self) -> int:
        """The width of a line."""
        return sum(self.widths) + len(GAP) * (len(self.widths) - 1)


def lay_out(columns: Columns, rows: Cells, available: int | None, *, may_leave_out: bool) -> Layout:
    """Return the layout of a table.

    A table that is too wide gets headings of several lines, then shortened texts, and then fewer columns.

    Args:
        columns: The columns.
        rows: The cells of the first lines, from which the widths follow.
        available: The width of the terminal, or None if any width is.
        may_leave_out: Whether columns may be left out.
    """
    shown = list(range(len(columns)))
    while True:
        layout = _unlimited(shown, columns, rows)
        if available is None:
            return layout
        layout = _shortened(_with_broken_headings(layout, rows, available), columns, available)
        if layout.width <= available or not may_leave_out or len(shown) == 1:
            return layout
        shown.remove(_least_important(shown, columns, rows))


def is_number(column: FieldDescriptor) -> bool:
    """Return whether a column has numbers, which are aligned to the right."""
    return column.cpp_type not in _NOT_NUMBERS and not column.is_repeated


def width_of(text: str) -> int:
    """Return the width of a text in columns of a terminal, according to the tables of Unicode."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _unlimited(shown: list[int], columns: Columns, rows: Cells) -> Layout:
    headings = [[columns[index].name.upper()] for index in shown]
    widths = [max(len(heading), _widest(rows, index)) for index, [heading] in zip(shown, headings, strict=True)]
    return Layout(list(shown), headings, widths)


def _widest(rows: Cells, index: int) -> int:
    return max((width_of(row[index]) for row in rows), default=0)


def _with_broken_headings(layout: Layout, rows: Cells, available: int) -> Layout:
    """Break headings that are wider than their cells, those that save most first, until a line fits."""
    cells = [_widest(rows, index) for index in layout.shown]
    for n in sorted(range(len(cells)), key=lambda n: cells[n] - layout.widths[n]):
        if layout.width <= available:
            break
        layout.headings[n] = _broken(layout.headings[n][0], cells[n])
        layout.widths[n] = max(cells[n], *map(len, layout.headings[n]))
    return layout


def _broken(heading: str, width: int) -> list[str]:
    """Break a heading after underscores into lines of a width, or that of its longest word."""
    words = [f"{each}_" for each in heading.split("_")]
    words[-1] = words[-1][:-1]
    width = max(width, *map(len, words))
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word
    return lines


def _shortened(layout: Layout, columns: Columns, available: int) -> Layout:
    """Narrow the widest text column again and again, but never an id, because people copy ids."""
    widths = layout.widths
    texts = [n for n, index in enumerate(layout.shown) if _can_be_shortened(columns[index])]
    for _ in range(layout.width - available):
        widest = max(texts, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= max(_NARROWEST, *map(len, layout.headings[widest])):
            break
        widths[widest] -= 1
    return layout


def _can_be_shortened(column: FieldDescriptor) -> bool:
    return column.cpp_type == _TEXT and not _is_id(column)


def _least_important(shown: list[int], columns: Columns, rows: Cells) -> int:
    """Return the column to leave out: an empty one, or else a reference, or else the last one, but not the first."""
    others = shown[1:]
    empty = [each for each in others if not any(row[each] for row in rows)]
    ids = [each for each in shown if _is_id(columns[each])]
    # Without the id of the resource, its other ids are what tells the lines apart.
    references = [each for each in ids if columns[each].name != "id"] if columns[shown[0]].name == "id" else []
    rest = [each for each in others if each not in ids]
    return (empty or references or rest or others)[-1]


def _is_id(column: FieldDescriptor) -> bool:
    return column.name == "id" or column.name.endswith("_id")
