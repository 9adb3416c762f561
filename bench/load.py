"""Sends one request again and again, with so many in flight or at a rate: by h2load, which takes little of a core.

It sends real gRPC frames, and HTTP/1.1 to the peer, so that both are loaded alike. It does not see what gRPC answers:
that responses are right is checked with a real client first, and that all have that size, for an error has none.
"""

import json
import re
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import processes

NO_H2LOAD = "h2load is not here (Debian has it in nghttp2-client)"

# Sizes of ids are equal, but those of times and of their etags may differ by some bytes.
_TOLERANCE = 0.05
_GRPC_HEADERS = ("-H", "content-type: application/grpc", "-H", "te: trailers")


class CannotBeMeasuredError(Exception):
    """What is asked for takes a program that is not here. The text names it."""


class Request(NamedTuple):
    """A request that is sent again and again.

    Attributes:
        address: The server's.
        path: Of gRPC, the method's full name.
        message: The serialised message; without one it is a GET in HTTP/1.1.
        response_bytes: The size of the right response.
    """

    address: str
    path: str
    message: bytes | None
    response_bytes: int


class Flight(NamedTuple):
    """How many requests are on their way at once: so many connections, each with so many streams."""

    connections: int
    streams: int


class Load(NamedTuple):
    """What came of it.

    Attributes:
        calls_per_second: How many calls were answered.
        milliseconds: How long each took, shortest first.
    """

    calls_per_second: float
    milliseconds: list[float]


def has_h2load() -> bool:
    """Whether h2load is here."""
    return shutil.which("h2load") is not None


def drive(request: Request, calls: int, flight: Flight, rate: float | None = None) -> Load:
    """Send a request so many times, as fast as it is answered or so often a second.

    Raises:
        CannotBeMeasuredError: There is no h2load, and it is not gRPC.
        ValueError: Not all responses were right.
    """
    with tempfile.TemporaryDirectory() as directory:
        if has_h2load():
            seconds, received, micros = _h2load(Path(directory), request, calls, flight, rate)
        else:
            seconds, received, micros = _python(Path(directory), request, calls, flight, rate)
    if len(micros) != calls or abs(received / (calls * request.response_bytes) - 1) > _TOLERANCE:
        raise ValueError(f"{calls} responses of {request.response_bytes} bytes, not {len(micros)} of {received} in all")
    return Load(calls / seconds, [each / 1000 for each in sorted(micros)])


def _h2load(
    directory: Path, request: Request, calls: int, flight: Flight, rate: float | None
) -> tuple[float, int, list[int]]:
    log, data = directory / "log", directory / "data"
    command = ["h2load", f"-n{calls}", f"-c{min(calls, flight.connections)}", f"--log-file={log}"]
    if rate is not None:
        command += [f"--rps={rate / flight.connections:.3f}"]
    if request.message is None:
        command += ["--h1"]
    else:
        data.write_bytes(struct.pack(">BI", 0, len(request.message)) + request.message)
        command += [f"-m{flight.streams}", f"-d{data}", *_GRPC_HEADERS]
    said = processes.run(*command, f"http://{request.address}{request.path}")
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    answered = [(int(begin), int(micros)) for begin, status, micros in rows if status == "200"]
    received = int(_find(r"\((\d+)\) data", said)) - (len(answered) * 5 if request.message is not None else 0)
    # By its log, for what it says itself has two digits, or counts the time until it ends.
    seconds = (max(map(sum, answered)) - min(begin for begin, _ in answered)) / 1e6
    return seconds, received, [micros for _, micros in answered]


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"h2load said something else: {text}")
    return match[1]


def _python(
    directory: Path, request: Request, calls: int, flight: Flight, rate: float | None
) -> tuple[float, int, list[int]]:
    if request.message is None:
        raise CannotBeMeasuredError(NO_H2LOAD)
    data = directory / "data"
    data.write_bytes(request.message)
    numbers = (calls, *flight, rate or 0)
    module = (sys.executable, "-m", "bench.load_client")
    done = json.loads(processes.run(*module, request.address, request.path, data, *map(str, numbers)))
    return done["seconds"], done["received_bytes"], done["micros"]
