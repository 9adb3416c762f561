"""Splits CSV into records before it parses them, so that one bad record is one error, wherever it ends."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

_DELIMITERS = re.compile(r"[,;\t]")
_LONGEST = 1 << 24
"""About how many characters of a record are kept. A longer one is an error: it is cut off inside a quoted cell."""


class Record(NamedTuple):
    """A record of a CSV file.

    Attributes:
        number: The line where it begins, from 1 on.
        cells: Its cells; none if it cannot be parsed, or is an empty line.
        problem: Why it cannot be parsed; empty if it can.
    """

    number: int
    cells: list[str]
    problem: str = ""


def sniff(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the delimiter of a file that begins with names of fields, and its lines from the first one on."""
    first = next(lines, "")
    found = _DELIMITERS.search(first)
    return found[0] if found else ",", chain([first], lines)


def records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Yield all records, empty lines included.

    Args:
        lines: The lines of a file, with their unchanged ends.
        delimiter: The character between two cells.
    """
    for number, text in _split(lines, delimiter):
        try:
            yield Record(number, next(csv.reader([text], delimiter=delimiter, strict=True), []))
        except csv.Error as error:
            yield Record(number, [], f"not valid CSV: {error}")


def _split(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, str]]:
    """Yield the first line number and the text of each record.

    Records end as in Python's csv when it is not strict: at the first end of a line that is not in a quoted cell. Only
    a quote at the beginning of a cell quotes it; what follows its closing quote belongs to the cell.
    """
    quoted_cell = re.compile(rf'(?:\A|{re.escape(delimiter)})"[^"]*+(?:""[^"]*+)*+("?)')
    kept: list[str] = []
    size, start, is_open = 0, 1, False
    for number, line in enumerate(lines, start=1):
        # A quote before the rest of a quoted cell lets the expression begin there too.
        quotes = [found[1] for found in quoted_cell.finditer(f'"{line}' if is_open else line)]
        is_open = bool(quotes) and not quotes[-1]
        if size < _LONGEST:
            kept.append(line)
            size += len(line)
        if not is_open:
            yield start, "".join(kept)
            kept.clear()
            size, start = 0, number + 1
    if kept:
        yield start, "".join(kept)
