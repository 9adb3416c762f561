"""Writes charts as CSV and JSON for programs, chunk by chunk, so that a chart of any size fits into memory."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from sprocket.v1.factory_pb2 import Factory, FactoryChart
from sprocket_grpc.cli.chart.client import History
from sprocket_grpc.cli.client.output import to_json
from sprocket_grpc.cli.times import rfc_3339

COLUMNS = ("time", "sprocket_production_goal", "sprocket_production_actual")

_MEMORY_BYTES = 1 << 20


def write_csv(path: Path, factory: Factory, history: History) -> None:  # noqa: ARG001  # the signature of write_json
    """Write a header and a line per entry.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for chunk in history:
            file.writelines(f"{','.join(row)}\n" for row in zip(*_columns(chunk), strict=True))


def write_json(path: Path, factory: Factory, history: History) -> None:
    """Write an object with three arrays of equal length, and the time before which entries have expired, if any have.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file, ExitStack() as stack:
        # Chunks hold parts of all three arrays, while JSON needs one complete array after the other.
        columns = [stack.enter_context(_spool()) for _ in COLUMNS]
        _split(history, columns)
        names = {"factory_id": factory.id, "display_name": factory.display_name}
        if history.retained_from is not None:
            names["retained_from_time"] = rfc_3339(history.retained_from)
        file.write(to_json(names)[:-1])
        for name, column in zip(COLUMNS, columns, strict=True):
            file.write(f', "{name}": [')
            column.seek(0)
            shutil.copyfileobj(column, file)
            file.write("]")
        file.write("}\n")


def _split(chunks: Iterable[FactoryChart], columns: Sequence[IO[str]]) -> None:
    separator = ""
    for chunk in chunks:
        if not chunk.time_micros:
            continue
        times, *numbers = _columns(chunk)
        for column, texts in zip(columns, [(f'"{each}"' for each in times), *numbers], strict=True):
            column.write(separator + ", ".join(texts))
        separator = ", "


def _columns(chunk: FactoryChart) -> list[Iterator[str]]:
    numbers = (chunk.sprocket_production_goal, chunk.sprocket_production_actual)
    return [map(rfc_3339, chunk.time_micros), *(map(str, values) for values in numbers)]


def _spool() -> "tempfile.SpooledTemporaryFile[str]":
    return tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES, mode="w+", encoding="utf-8", newline="")


WRITERS: dict[str, Callable[[Path, Factory, History], None]] = {".csv": write_csv, ".json": write_json}
"""The writer for each suffix."""
