"""Charts for programs: CSV and JSON, written as they arrive and never all in memory."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from sprocket.v1.factory_pb2 import Factory, FactoryChart
from sprocket_grpc.cli.chart.times import rfc_3339

COLUMNS = ("time", "sprocket_production_goal", "sprocket_production_actual")

_MEMORY_BYTES = 1 << 20

Stretches = Iterable[FactoryChart]


def write_csv(path: Path, factory: Factory, stretches: Stretches) -> None:  # noqa: ARG001  # as write_json has it
    """Write a line for each entry.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for stretch in stretches:
            file.writelines(f"{','.join(row)}\n" for row in zip(*_columns(stretch), strict=True))


def write_json(path: Path, factory: Factory, stretches: Stretches) -> None:
    """Write an object with three arrays of equal length.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file, ExitStack() as stack:
        # One array is complete before the next begins, while all three arrive together.
        columns = [stack.enter_context(_spool()) for _ in COLUMNS]
        _spread(stretches, columns)
        names = {"factory_id": factory.id, "display_name": factory.display_name}
        file.write(json.dumps(names)[:-1])
        for name, column in zip(COLUMNS, columns, strict=True):
            file.write(f', "{name}": [')
            column.seek(0)
            shutil.copyfileobj(column, file)
            file.write("]")
        file.write("}\n")


def _spread(stretches: Stretches, columns: Sequence[IO[str]]) -> None:
    separator = ""
    for stretch in stretches:
        if not stretch.time_micros:
            continue
        times, *numbers = _columns(stretch)
        for column, texts in zip(columns, [(f'"{each}"' for each in times), *numbers], strict=True):
            column.write(separator + ", ".join(texts))
        separator = ", "


def _columns(stretch: FactoryChart) -> list[Iterator[str]]:
    numbers = (stretch.sprocket_production_goal, stretch.sprocket_production_actual)
    return [map(rfc_3339, stretch.time_micros), *(map(str, values) for values in numbers)]


def _spool() -> "tempfile.SpooledTemporaryFile[str]":
    return tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES, mode="w+", encoding="utf-8", newline="")


WRITERS: dict[str, Callable[[Path, Factory, Stretches], None]] = {".csv": write_csv, ".json": write_json}
"""Which suffix is written how."""
