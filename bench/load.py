"""Repeats one request at a given concurrency or rate, with h2load, which uses little CPU.

h2load sends real gRPC frames, and HTTP/1.1 to the peer, so that both get the same load. It does not parse gRPC
responses. So a real client checks one response first, and `drive` compares the size of the others with it: an error has
an empty body.
"""

import json
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import processes

NO_H2LOAD = "h2load is not installed (Debian package: nghttp2-client)"

# Ids have a fixed size; times and etags may differ by a few bytes.
_TOLERANCE = 0.05
FRAME_BYTES = 5
"""The size of the prefix of a gRPC message."""

_GRPC_HEADERS = ("-H", "content-type: application/grpc", "-H", "te: trailers")


class CannotBeMeasuredError(Exception):
    """The measurement needs a program that is not installed. The text names it."""


class Request(NamedTuple):
    """A request to repeat.

    Attributes:
        address: The address of the server.
        path: The path of the URL; for gRPC, the full name of the method.
        message: The serialised message; None for a GET request in HTTP/1.1.
        response_bytes: The size of the expected response.
        headers: Further headers, by name.
        is_tls: Whether the server speaks TLS.
    """

    address: str
    path: str
    message: bytes | None
    response_bytes: int
    headers: tuple[tuple[str, str], ...] = ()
    is_tls: bool = False


class Flight(NamedTuple):
    """The concurrency of a load: the number of connections, and of streams on each connection."""

    connections: int
    streams: int


class Load(NamedTuple):
    """The result of a load.

    Attributes:
        calls_per_second: The rate of answered calls.
        milliseconds: The latency of each call, in ascending order.
    """

    calls_per_second: float
    milliseconds: list[float]


def percentile(milliseconds: Sequence[float], percent: int) -> float:
    """Return a percentile of latencies, which are in ascending order."""
    return milliseconds[min(len(milliseconds) - 1, len(milliseconds) * percent // 100)]


def has_h2load() -> bool:
    """Whether h2load is installed."""
    return shutil.which("h2load") is not None


def drive(request: Request, calls: int, flight: Flight, rate: float | None = None) -> Load:
    """Send a request `calls` times, at `rate` per second, or as fast as the server answers.

    Raises:
        CannotBeMeasuredError: The request is not gRPC or has headers or TLS, and h2load is not installed.
        ValueError: Responses are missing or have the wrong size.
    """
    with tempfile.TemporaryDirectory() as directory:
        if has_h2load():
            seconds, received, micros = _h2load(Path(directory), request, calls, flight, rate)
        else:
            seconds, received, micros = _python(Path(directory), request, calls, flight, rate)
    if len(micros) != calls or abs(received / (calls * request.response_bytes) - 1) > _TOLERANCE:
        raise ValueError(
            f"expected {calls} responses of {request.response_bytes} bytes, got {len(micros)} with {received} in total"
        )
    return Load(calls / seconds, [each / 1000 for each in sorted(micros)])


def _h2load(
    directory: Path, request: Request, calls: int, flight: Flight, rate: float | None
) -> tuple[float, int, list[int]]:
    log = directory / "log"
    command = ["h2load", f"-n{calls}", f"-c{min(calls, flight.connections)}", f"--log-file={log}"]
    if rate is not None:
        command += [f"--rps={rate / flight.connections:.3f}"]
    command += ["--h1"] if request.message is None else [f"-m{flight.streams}"]
    output = processes.run(*command, *arguments(directory, request))
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    answered = [(int(begin), int(micros)) for begin, status, micros in rows if status == "200"]
    received = received_bytes(output) - (len(answered) * FRAME_BYTES if request.message is not None else 0)
    # From the log: the summary that h2load prints has two digits only, and includes the time that it takes to exit.
    seconds = (max(map(sum, answered)) - min(begin for begin, _ in answered)) / 1e6
    return seconds, received, [micros for _, micros in answered]


def arguments(directory: Path, request: Request) -> list[str]:
    """Return the arguments of h2load that describe a request, whose message it reads from a file in a directory."""
    words = [word for name, value in request.headers for word in ("-H", f"{name}: {value}")]
    if request.message is not None:
        data = directory / "data"
        data.write_bytes(struct.pack(">BI", 0, len(request.message)) + request.message)
        words += [f"-d{data}", *_GRPC_HEADERS]
    return [*words, f"http{'s' if request.is_tls else ''}://{request.address}{request.path}"]


def received_bytes(output: str) -> int:
    """Return the size of all received data in an output of h2load.

    Raises:
        ValueError: It does not say so.
    """
    match = re.search(r"\((\d+)\) data", output)
    if match is None:
        raise ValueError(f"unexpected output of h2load: {output}")
    return int(match[1])


def _python(
    directory: Path, request: Request, calls: int, flight: Flight, rate: float | None
) -> tuple[float, int, list[int]]:
    if request.message is None or request.headers or request.is_tls:
        raise CannotBeMeasuredError(NO_H2LOAD)
    data = directory / "data"
    data.write_bytes(request.message)
    numbers = (calls, *flight, rate or 0)
    module = (sys.executable, "-m", "bench.load_client")
    done = json.loads(processes.run(*module, request.address, request.path, data, *map(str, numbers)))
    return done["seconds"], done["received_bytes"], done["micros"]
