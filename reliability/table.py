"""Prints rows as a table."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]]) -> str:
    """Format rows of equal length in columns; the first row is the heading."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in texts)
