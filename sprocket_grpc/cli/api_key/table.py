"""Formats API keys for people: as a table, or where the terminal is too narrow for it, as lists of fields."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sprocket_grpc.cli.resources.layout import GAP, width_of

_HEADING = ["ID", "NAME", "PERMISSIONS", "VALID", "LAST_USED"]
_INDENT = "    "
_NAME_WIDTH = len(_INDENT) + max(map(len, _HEADING))


def format_keys(keys: Sequence[Any], available: int | None) -> Iterator[str]:
    """Yield the lines of all keys.

    Args:
        keys: Their rows.
        available: The width of the terminal, or None if any width is.
    """
    rows = [_cells(key) for key in keys]
    widths = [max(map(width_of, column)) for column in zip(_HEADING, *rows, strict=True)]
    fits = available is None or sum(widths) + len(GAP) * (len(widths) - 1) <= available
    if fits:
        yield _line(_HEADING, widths)
    for key, row in zip(keys, rows, strict=True):
        yield from [_line(row, widths)] if fits else _fields(row)
        if key.factory_ids:
            yield f"{_INDENT}limited to the factories {', '.join(key.factory_ids)}"


def _cells(key: Any) -> list[str]:  # noqa: ANN401  # a row
    return [str(key.id), key.name, ",".join(key.permissions), _validity(key), _time(key.last_use_time)]


def _validity(key: Any) -> str:  # noqa: ANN401  # a row
    if key.revoke_time is not None:
        return f"revoked {_time(key.revoke_time)}"
    if not key.holds:
        return f"expired {_time(key.expire_time)}"
    return f"until {_time(key.expire_time)}" if key.expire_time is not None else "until revoked"


def _time(micros: int | None) -> str:
    """Return a time in UTC to the minute, as the tables of resources have it."""
    return "never" if micros is None else f"{datetime.fromtimestamp(micros / 1e6, UTC):%Y-%m-%d %H:%M}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths, strict=True))
    return GAP.join(padded).rstrip()


def _fields(cells: Sequence[str]) -> Iterator[str]:
    for name, cell in zip(_HEADING, cells, strict=True):
        indent = "" if name == "ID" else _INDENT
        yield f"{indent + name.lower():{_NAME_WIDTH}}{GAP}{cell}"
