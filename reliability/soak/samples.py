"""What the processes of a server and its PostgreSQL use, read from /proc."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_MEGA = 1e6
_KIBI = 1024
_STREAMS = "sprocket_chart_streams"


@dataclass(frozen=True)
class Sample:
    """What was in use at one moment, by all processes of the server together.

    Attributes:
        seconds: The time since the start.
        resident: The resident memory, in MB (10^6 bytes).
        proportional: The same, of which shared pages count in proportion (PSS).
        descriptors: Open file descriptors.
        connections: Those of them that are sockets.
        threads: Threads.
        streams: Streams that follow charts, as the server counts them.
        backends: The connections that PostgreSQL has with the server.
        postgres: The memory of PostgreSQL's processes, as PSS, in MB.
    """

    seconds: float
    resident: float
    proportional: float
    descriptors: float
    connections: float
    threads: float
    streams: float
    backends: float
    postgres: float

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of what is measured."""
        return [field.name for field in fields(cls)][1:]


def sample(began: float, server: Iterable[int], postgres: int, backends: int, metrics: str) -> Sample:
    """Measure.

    Args:
        began: When the run began, by a monotonic clock.
        server: The processes of the server.
        postgres: The first process of PostgreSQL.
        backends: The connections that PostgreSQL has with the server.
        metrics: What Prometheus scrapes from the server.
    """
    pids = list(server)
    open_files = [file for pid in pids for file in _open_files(pid)]
    return Sample(
        seconds=time.monotonic() - began,
        resident=sum(_megabytes(pid, "Rss") for pid in pids),
        proportional=sum(_megabytes(pid, "Pss") for pid in pids),
        descriptors=len(open_files),
        connections=sum(file.startswith("socket:") for file in open_files),
        threads=sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
        streams=_streams(metrics),
        backends=backends,
        postgres=sum(_megabytes(pid, "Pss") for pid in [postgres, *_children(postgres)]),
    )


def _megabytes(pid: int, name: str) -> float:
    with suppress(OSError):  # a backend has ended meanwhile
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * _KIBI / _MEGA
    return 0.0


def _open_files(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield str(file.readlink())


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _streams(metrics: str) -> float:
    families = text_string_to_metric_families(metrics)
    return sum(each.value for family in families for each in family.samples if each.name == _STREAMS)
