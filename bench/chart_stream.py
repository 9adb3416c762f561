"""Measures the stream of a long chart: its rate and CPU against psql's COPY, and the growth of memory."""

import json
import re
import sys
from functools import partial
from typing import NamedTuple

from bench import processes
from bench.chart_client import ChartSummary
from bench.database import Postgres
from bench.processes import Server
from bench.report import Figure, Progress, Target, interleave

MOST_GROWTH_MEGABYTES = 20.0

PROMISED_SECONDS = 0.05
"""The CPU of the service and of PostgreSQL together for a million entries."""

_STREAM, _COPY = "chart stream", "psql COPY"
_COPY_STATEMENT = """
    COPY (
        SELECT time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry
        WHERE factory_id = '{factory_id}' ORDER BY sequence
    ) TO STDOUT (FORMAT BINARY)
"""


class Run(NamedTuple):
    """The cost of reading a chart once.

    Attributes:
        seconds: Wall-clock time, without starting the client and connecting.
        server_seconds: CPU time of the service.
        postgres_seconds: CPU time of PostgreSQL.
    """

    seconds: float
    server_seconds: float
    postgres_seconds: float


class ChartReader:
    """Reads one long chart through the service and through COPY.

    Attributes:
        entries: The number of entries in the chart.
    """

    def __init__(
        self, server: Server, postgres: Postgres, factory_id: str, entries: int, copied_id: str | None = None
    ) -> None:
        """Read the chart of a factory, and by COPY that of another one with the same entries in rows."""
        self._server = server
        self._postgres = postgres
        self._factory_id = factory_id
        self._copied_id = copied_id or factory_id
        self.entries = entries
        self._received_bytes = 0

    def check(self) -> None:
        """Read the chart from the service, which also warms the service up, and check that it is complete.

        Raises:
            ValueError: The chart is incomplete or out of order.
        """
        summary = self._read("decoded")
        if (summary.entries, summary.ends, summary.is_in_order) != (self.entries, 1, True):
            raise ValueError(f"expected {self.entries:,} entries in order and one end of history, got {summary}")
        self._received_bytes = summary.received_bytes

    def stream(self) -> Run:
        """Read the chart from the service.

        Raises:
            ValueError: The size of the response differs from the one that `check` received.
        """
        server, postgres = self._cpu_seconds()
        summary = self._read("raw")
        if summary.received_bytes != self._received_bytes:
            raise ValueError(f"expected {self._received_bytes:,} bytes, got {summary.received_bytes:,}")
        return self._run(summary.seconds, server, postgres)

    def copy(self) -> Run:
        """Read the same entries with psql, directly from PostgreSQL."""
        server, postgres = self._cpu_seconds()
        # In this order, psql prints the duration of the statement to standard output, and nothing else.
        statements = (r"\timing on", r"\o /dev/null", _COPY_STATEMENT.format(factory_id=self._copied_id))
        commands = [word for statement in statements for word in ("-c", statement)]
        psql = self._postgres.programs / "psql"
        output = processes.run(psql, "-X", "-q", "-d", self._postgres.connection_string, *commands)
        [milliseconds] = re.findall(r"^Time: ([\d.]+) ms", output, re.MULTILINE)
        return self._run(float(milliseconds) / 1000, server, postgres)

    def _read(self, mode: str) -> ChartSummary:
        module = (sys.executable, "-m", "bench.chart_client")
        return ChartSummary(**json.loads(processes.run(*module, self._server.address, self._factory_id, mode)))

    def _cpu_seconds(self) -> tuple[float, float]:
        return processes.cpu_seconds(self._server.pid), processes.family_cpu_seconds(self._postgres.pid)

    def _run(self, seconds: float, server_before: float, postgres_before: float) -> Run:
        server, postgres = self._cpu_seconds()
        return Run(seconds, server - server_before, postgres - postgres_before)


def measure_stream(
    reader: ChartReader, rounds: int, progress: Progress, layout: str = "rows", least_rate: float = 0.7
) -> list[Figure]:
    """Compare the rate and the CPU of the stream with those of COPY."""
    with progress.step(f"checking for {reader.entries:,} entries, and warming up"):
        reader.check()
        reader.copy()
    runs = interleave({_STREAM: reader.stream, _COPY: reader.copy}, rounds, progress)
    millions = reader.entries / 1e6
    streams, copies = runs[_STREAM], runs[_COPY]
    copy_cpu = [each.postgres_seconds / millions for each in copies]
    per_million = partial(Figure, unit="s CPU per M entries", against="PostgreSQL for psql COPY", reference=copy_cpu)
    return [
        Figure(
            what=f"chart stream of {reader.entries:,} in {layout}, rate by the clock",
            unit="M entries/s",
            measured=[millions / each.seconds for each in streams],
            against="psql COPY BINARY to /dev/null",
            reference=[millions / each.seconds for each in copies],
            targets=(Target(">=", least_rate), Target(">=", 1.0)),
        ),
        per_million(
            what=f"chart stream from {layout}, the service",
            measured=[each.server_seconds / millions for each in streams],
        ),
        per_million(
            what=f"chart stream from {layout}, PostgreSQL",
            measured=[each.postgres_seconds / millions for each in streams],
        ),
        Figure(
            what=f"chart stream from {layout}, the service and PostgreSQL",
            unit="s CPU per M entries",
            measured=[(each.server_seconds + each.postgres_seconds) / millions for each in streams],
            against="promised maximum",
            reference=[PROMISED_SECONDS] * len(streams),
            targets=(Target("<=", 1),),
        ),
    ]


def measure_memory(server: Server, reader: ChartReader, progress: Progress) -> list[Figure]:
    """Measure the growth of the service's memory: its peak while it streams against its idle size before."""
    before = processes.memory_megabytes(server.pid)
    processes.reset_peak_memory(server.pid)
    with progress.step(f"streaming {reader.entries:,} entries, and checking for them"):
        reader.check()
    growth = processes.peak_memory_megabytes(server.pid) - before
    return [
        Figure(
            what=f"chart stream of {reader.entries:,}, growth of memory from {before:.0f} MB",
            unit="MB",
            measured=[growth],
            against="permitted growth",
            reference=[MOST_GROWTH_MEGABYTES],
            targets=(Target("<=", 1.0),),
        )
    ]
