"""What is looked at only when somebody asks for the metrics: it costs nothing in between."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sprocket_grpc.health import HealthMonitor
from sprocket_grpc.replicas import Replicas
from sprocket_grpc.services.following import Following

_PROC = Path("/proc/self")  # on Linux
_RESIDENT_PAGES = 1  # proc_pid_statm(5)


def observe_following(meter: Meter, following: Following) -> None:
    """Tell how many charts are followed, and by how many streams."""
    meter.create_observable_gauge(
        "sprocket.chart.followed", [_value(lambda: following.count)], "{chart}", "Charts that are followed."
    )
    meter.create_observable_gauge(
        "sprocket.chart.streams", [_value(lambda: following.streams)], "{stream}", "Streams that follow charts."
    )


def observe_health(meter: Meter, monitor: HealthMonitor) -> None:
    """Tell whether we serve."""
    meter.create_observable_gauge(
        "sprocket.health.serving",
        [_value(lambda: int(monitor.problem is None))],
        description="1 while the database is well, and else 0.",
    )


def observe_replicas(meter: Meter, replicas: Replicas) -> None:
    """Tell how many standbys are read from."""
    meter.create_observable_gauge(
        "sprocket.database.fresh_standbys",
        [_value(lambda: replicas.fresh)],
        "{database}",
        "Standbys that are fresh enough to read from.",
    )


def observe_process(meter: Meter) -> None:
    """Tell what the process takes, by the conventions for processes."""
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
        "process.uptime", [_value(lambda: time.monotonic() - began)], "s", "How long the process has run."
    )


def _value(look: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(look())]


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
