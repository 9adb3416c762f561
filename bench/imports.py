"""Measures `sprocket-grpc import` of each resource, and `export`, in rows per second."""

import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench import processes
from bench.plan import Bench
from bench.processes import Server, serving
from bench.report import Figure, Target, interleave
from bench.resources import Resources, create_resources

_PROMISED = 5000
_COMMAND = (sys.executable, "-m", "sprocket_grpc")
_ROWS_PER_SECOND = 20_000
"""The number of rows to import, for each second of a round."""

_EXPORTED = 20_000
"""Enough that an export takes longer than the start of its command."""

_STARTS = 5

_MEASURES = {"teeth": 5, "pitch_mm": 1, "pitch_diameter_mm": 5, "outside_diameter_mm": 6}
_PLACE = {"address": "123 Main St", "city": "Springfield", "postal_code": "62701", "country_code": "US"}


def measure_imports(bench: Bench) -> Iterator[Figure]:
    """Measure imports of new files and an export, without the time that the commands take for a single row."""
    with serving(bench.postgres.url) as server, tempfile.TemporaryDirectory() as directory:
        rows = _rows(create_resources(server.address, 1))
        commands = _Commands(server, Path(directory) / "rows.jsonl")
        measured: dict[str, Callable[[], float]] = {}
        count = round(_ROWS_PER_SECOND * bench.plan.seconds)
        for name, row in rows.items():
            measured[f"import of {name}"] = partial(commands.imported_per_second, name, row, count)
        with bench.progress.step(f"importing single rows, and {_EXPORTED:,} sprockets to be exported"):
            commands.measure_start("sprocket", rows["sprocket"])
            commands.imported_per_second("sprocket", rows["sprocket"], _EXPORTED)
        measured["export of sprocket"] = partial(commands.exported_per_second, "sprocket")
        runs = interleave(measured, bench.plan.few_rounds, bench.progress)
    for name, rates in runs.items():
        targets = (Target(">=", 1),) if name.startswith("import") else ()
        yield Figure(name, "rows/s", rates, "target for imports", [float(_PROMISED)] * len(rates), targets)


def _rows(resources: Resources) -> dict[str, Mapping[str, object]]:
    """Return the fields of a valid row of each resource, without its name."""
    [factory_id] = resources.factory_ids
    return {
        "sprocket": {"factory_id": factory_id, "sprocket_type_id": resources.sprocket_type_id},
        "location": _PLACE,
        "sprocket-type": _MEASURES,
        "factory": {"location_id": resources.location_id, "sprocket_production_goal": 10},
    }


class _Commands:
    """Runs commands of the client against a server, with a file."""

    def __init__(self, server: Server, file: Path) -> None:
        self._server = server
        self._file = file
        self._start = 0.0

    def measure_start(self, resource: str, row: Mapping[str, object]) -> None:
        """Measure how long a command takes for a single row, at least. Rates do not count that time."""
        self._start = min(self._import(resource, row, 1) for _ in range(_STARTS))

    def imported_per_second(self, resource: str, row: Mapping[str, object], count: int) -> float:
        """Import as many rows, which are new."""
        return count / (self._import(resource, row, count) - self._start)

    def exported_per_second(self, resource: str) -> float:
        """Export all resources of a kind."""
        seconds, _ = self._run("export", resource)
        with self._file.open() as lines:
            return sum(1 for _ in lines) / (seconds - self._start)

    def _import(self, resource: str, row: Mapping[str, object], count: int) -> float:
        marks = (f"{uuid.uuid4()}" for _ in range(count))  # another file each time, so that nothing is found again
        self._file.write_text("".join(json.dumps({"display_name": each, **row}) + "\n" for each in marks))
        seconds, output = self._run("import", resource)
        if f": {count} created, " not in output:
            raise ValueError(f"expected {count} created, got {output}")
        return seconds

    def _run(self, command: str, resource: str) -> tuple[float, str]:
        begin = time.perf_counter()
        output = processes.run(*_COMMAND, command, resource, self._file, "--server", self._server.address)
        return time.perf_counter() - begin, output
