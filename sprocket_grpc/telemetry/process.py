"""Metrics of the process, by OpenTelemetry's semantic conventions: measured when metrics are collected."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, Meter, Observation

_PROC = Path("/proc/self")  # on Linux
_RESIDENT_PAGES = 1  # proc_pid_statm(5)


def observed(measure: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Return the callback of a metric whose value is measured when metrics are collected."""
    return lambda _: [Observation(measure())]


def observe_process(meter: Meter) -> None:
    """Create the metrics of the process."""
    began = time.monotonic()
    meter.create_observable_counter(
        "process.cpu.time", [lambda _: _cpu_seconds()], "s", "Processor time of the process."
    )
    meter.create_observable_up_down_counter(
        "process.memory.usage", [lambda _: _resident_bytes()], "By", "Resident memory of the process."
    )
    meter.create_observable_up_down_counter(
        "process.unix.file_descriptor.count",
        [lambda _: _open_files()],
        "{file_descriptor}",
        "Open files and connections of the process.",
    )
    meter.create_observable_gauge(
        "process.uptime", [observed(lambda: time.monotonic() - began)], "s", "The time since the process started."
    )


def _cpu_seconds() -> Iterator[Observation]:
    times = os.times()
    yield Observation(times.user, {"cpu.mode": "user"})
    yield Observation(times.system, {"cpu.mode": "system"})


def _resident_bytes() -> Iterator[Observation]:
    with suppress(FileNotFoundError):
        pages = (_PROC / "statm").read_text().split()[_RESIDENT_PAGES]
        yield Observation(int(pages) * os.sysconf("SC_PAGE_SIZE"))


def _open_files() -> Iterator[Observation]:
    with suppress(FileNotFoundError):
        yield Observation(sum(1 for _ in (_PROC / "fd").iterdir()))
