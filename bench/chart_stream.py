"""Measures the stream of a long chart: its rate against psql's COPY, what it costs, and that memory does not grow."""

import json
import re
import sys
from functools import partial
from typing import NamedTuple

from bench import processes
from bench.chart_client import ReadSession
from bench.database import Postgres
from bench.processes import Server
from bench.report import Figure, Progress, Target, interleave

MOST_GROWTH_MEGABYTES = 20.0

_STREAM, _COPY = "chart stream", "psql COPY"
_COPY_STATEMENT = """
    COPY (
        SELECT time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry
        WHERE factory_id = '{factory_id}' ORDER BY sequence
    ) TO STDOUT (FORMAT BINARY)
"""


class Run(NamedTuple):
    """What it took to read a chart once.

    Attributes:
        seconds: By the clock, without what it takes to start the client and to connect.
        server_seconds: CPU of the service.
        postgres_seconds: CPU of PostgreSQL.
    """

    seconds: float
    server_seconds: float
    postgres_seconds: float


class ChartReader:
    """Reads one long chart in the ways that are compared.

    Attributes:
        entries: How many it has.
    """

    def __init__(self, server: Server, postgres: Postgres, factory_id: str, entries: int) -> None:
        self._server = server
        self._postgres = postgres
        self._factory_id = factory_id
        self.entries = entries
        self._received_bytes = 0

    def check(self) -> None:
        """Read the chart by the service, and see that it is complete; it also warms the service up.

        Raises:
            ValueError: It is not.
        """
        reading = self._read("decoded")
        if (reading.entries, reading.ends, reading.is_in_order) != (self.entries, 1, True):
            raise ValueError(f"the chart should have {self.entries:,} entries, in order and with one end: {reading}")
        self._received_bytes = reading.received_bytes

    def stream(self) -> Run:
        """Read the chart by the service.

        Raises:
            ValueError: Not all that `check` saw has arrived.
        """
        server, postgres = self._cpu_seconds()
        reading = self._read("raw")
        if reading.received_bytes != self._received_bytes:
            raise ValueError(f"{self._received_bytes:,} bytes should have arrived, not {reading.received_bytes:,}")
        return self._run(reading.seconds, server, postgres)

    def copy(self) -> Run:
        """Read the same entries by psql, straight from PostgreSQL."""
        server, postgres = self._cpu_seconds()
        # In this order psql says on its standard output how long the statement took, and nothing else.
        statements = (r"\timing on", r"\o /dev/null", _COPY_STATEMENT.format(factory_id=self._factory_id))
        commands = [word for statement in statements for word in ("-c", statement)]
        psql = self._postgres.programs / "psql"
        output = processes.run(psql, "-X", "-q", "-d", self._postgres.connection_string, *commands)
        [milliseconds] = re.findall(r"^Time: ([\d.]+) ms", output, re.MULTILINE)
        return self._run(float(milliseconds) / 1000, server, postgres)

    def _read(self, mode: str) -> ReadSession:
        module = (sys.executable, "-m", "bench.chart_client")
        return ReadSession(**json.loads(processes.run(*module, self._server.address, self._factory_id, mode)))

    def _cpu_seconds(self) -> tuple[float, float]:
        return processes.cpu_seconds(self._server.pid), processes.family_cpu_seconds(self._postgres.pid)

    def _run(self, seconds: float, server_before: float, postgres_before: float) -> Run:
        server, postgres = self._cpu_seconds()
        return Run(seconds, server - server_before, postgres - postgres_before)


def measure_stream(reader: ChartReader, rounds: int, progress: Progress) -> list[Figure]:
    """Compare the rate of the stream with that of COPY, and what both cost."""
    with progress.step(f"checking that {reader.entries:,} entries arrive, and warming up"):
        reader.check()
        reader.copy()
    runs = interleave({_STREAM: reader.stream, _COPY: reader.copy}, rounds, progress)
    millions = reader.entries / 1e6
    streams, copies = runs[_STREAM], runs[_COPY]
    copy_cpu = [each.postgres_seconds / millions for each in copies]
    per_million = partial(Figure, unit="s CPU per M entries", against="PostgreSQL for psql COPY", reference=copy_cpu)
    return [
        Figure(
            what=f"chart stream of {reader.entries:,}, rate by the clock",
            unit="M entries/s",
            measured=[millions / each.seconds for each in streams],
            against="psql COPY BINARY to /dev/null",
            reference=[millions / each.seconds for each in copies],
            targets=(Target(">=", 0.7), Target(">=", 1.0)),
        ),
        per_million(what="chart stream, the service", measured=[each.server_seconds / millions for each in streams]),
        per_million(what="chart stream, PostgreSQL", measured=[each.postgres_seconds / millions for each in streams]),
    ]


def measure_memory(server: Server, reader: ChartReader, progress: Progress) -> list[Figure]:
    """See how much more memory the service takes at most while it streams than before, when it was idle."""
    before = processes.memory_megabytes(server.pid)
    processes.forget_peak_memory(server.pid)
    with progress.step(f"streaming {reader.entries:,} entries, checking that they arrive"):
        reader.check()
    growth = processes.peak_memory_megabytes(server.pid) - before
    return [
        Figure(
            what=f"chart stream of {reader.entries:,}, growth of memory from {before:.0f} MB",
            unit="MB",
            measured=[growth],
            against="what it may grow by",
            reference=[MOST_GROWTH_MEGABYTES],
            targets=(Target("<=", 1.0),),
        )
    ]
