"""One bad record of a CSV file is one refusal, wherever it ends, and no text of a cell becomes a record."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.resources.catalogue import catalogue
from sprocket_grpc.cli.resources.csv_records import records, sniff
from sprocket_grpc.cli.resources.files import Source
from sprocket_grpc.cli.resources.reading import Line, read

LIMIT = 131_072
"""The default of csv.field_size_limit()."""

EVIL = "\nEVIL,EVIL\n"
"""What may be in a quoted cell, and would be a record outside of it."""

ANY_TEXT = st.text(st.sampled_from('ab,;"\r\n \t\x00é'), max_size=40)


class Sample(NamedTuple):
    """A record of a file.

    Attributes:
        text: The record, with the end of its line.
        cells: Its cells, or None if it is bad.
    """

    text: str
    cells: list[str] | None


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


GOOD = st.builds(
    lambda first, second, end: Sample(f"{quoted(first)},{quoted(second)}{end}", [first, second]),
    *(st.text(st.sampled_from('ab,"\r\n\x00'), min_size=1, max_size=9) for _ in range(2)),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
BAD = st.sampled_from(
    [
        Sample(f"x,{quoted('x' * LIMIT + EVIL)}\n", None),  # a cell over the limit
        Sample(f"{quoted(EVIL * (LIMIT // len(EVIL) + 2))},x\r\n", None),
        Sample(f"{'x' * (LIMIT + 1)},x\n", None),
        Sample('"x"x,x\n', None),  # text after a closing quote
        Sample(f"x,{quoted(EVIL)}x\n", None),
    ]
)
UNCLOSED = Sample(f'x,"x{EVIL}', None)


def lines(content: str) -> io.StringIO:
    return io.StringIO(content, newline="")


@given(st.lists(GOOD | BAD, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_bad_record_is_one_refusal_and_each_good_one_is_read(samples: list[Sample], is_cut: bool) -> None:  # noqa: FBT001  # drawn
    samples = [*samples, *([UNCLOSED] if is_cut else [])]
    content = "".join(each.text for each in samples)
    found = list(records(lines(content), ","))
    assert [each.cells if not each.problem else None for each in found] == [each.cells for each in samples]
    starts = [content.count("\n", 0, n) for n in positions(samples)]
    if "\r" not in content.replace("\r\n", ""):
        assert [each.number - 1 for each in found] == starts


def positions(samples: list[Sample]) -> list[int]:
    """Return where each sample begins in the content."""
    return [sum(len(each.text) for each in samples[:n]) for n in range(len(samples))]


@given(ANY_TEXT, st.sampled_from(",;\t"))
@example('a"b,"c\r\n"d"""\r,"e', ",")
@settings(max_examples=2000, deadline=None)
def test_records_end_where_those_of_python_end(content: str, delimiter: str) -> None:
    expected = list(csv.reader(lines(content), delimiter=delimiter))
    found = list(records(lines(content), delimiter))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.problem or mine.cells == theirs


@given(ANY_TEXT)
@settings(max_examples=1000, deadline=None)
def test_a_file_without_problems_is_read_as_strict_python_reads_it(content: str) -> None:
    try:
        expected = list(csv.reader(lines(content), strict=True))
    except csv.Error:
        assert any(each.problem for each in records(lines(content), ","))
    else:
        assert [each.cells for each in records(lines(content), ",")] == expected


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [("a,b;c", ","), ("a;b,c", ";"), ("a\tb", "\t"), ("a", ","), ("", ","), ('"a";"b"', ";")],
)
def test_the_delimiter_is_the_first_that_the_first_line_has(head: str, delimiter: str) -> None:
    found, rest = sniff(iter([head, "x"]))
    assert (found, next(rest)) == (delimiter, head)


def test_a_record_without_an_end_takes_bounded_memory() -> None:
    endless = ('"' + "x" * 99 + "\n" if n == 0 else "x" * 99 + "\n" for n in range(1_000_000))
    [record] = records(endless, ",")
    assert "field larger than field limit" in record.problem


# Files of spreadsheets.


def read_csv(path: Path, content: str) -> list[Line]:
    path.write_text(content, newline="")
    return list(read(Source("f", path, "csv"), catalogue()["location"], set()))


def test_columns_without_a_name_and_rows_of_empty_cells_are_ignored(tmp_path: Path) -> None:
    content = "\ufeffdisplay_name;city;;\r\nA;X;;\r\n;;;\r\nB;Y\r\nC;Y;;;;\r\n;;;\r\n"
    assert read_csv(tmp_path / "f", content) == [
        Line(2, {"display_name": "A", "city": "X"}),
        Line(4, {}, "expected 4 cells, as in the first line, not 2"),
        Line(5, {"display_name": "C", "city": "Y"}),
    ]


def test_text_in_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    assert read_csv(tmp_path / "f", "city,,\nX,,\nY,,lost\nZ,,,lost\n") == [
        Line(2, {"city": "X"}),
        Line(3, {}, "cell 3: its column has no name in the first line"),
        Line(4, {}, "expected 3 cells, as in the first line, not 4"),
    ]


@pytest.mark.parametrize("head", ["", "\n", ",,\n", '"city\n', "city,city\n", "citi\n", "city\x00\n"])
def test_a_first_line_without_the_names_of_fields_is_an_error(tmp_path: Path, head: str) -> None:
    with pytest.raises(ClientError, match=r"^f:1: "):
        read_csv(tmp_path / "f", head)
