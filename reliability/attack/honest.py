"""A caller with an API key who reads one resource again and again, in a process of its own: is it served?

Run as `python -m reliability.attack.honest ADDRESS`, with the key in HONEST_KEY. Prints a line for each call.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import grpc

from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub

MISSING_ID = "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55"
"""It asks for nothing that exists: that costs the server the same, and needs no data."""

KEY_VARIABLE, ROOT_VARIABLE = "HONEST_KEY", "HONEST_ROOT"

_CALL_SECONDS = 10
_PAUSE_SECONDS = 0.01
_PATIENCE_SECONDS = 30
_PERCENTILE = 0.99


class Sample(NamedTuple):
    """A call.

    Attributes:
        begin: When it began, on the clock of `time.monotonic`.
        seconds: How long it took, in seconds.
        lag: How much longer than asked for the caller slept before it: what the machine delays every process now.
        code: Its status code.
    """

    begin: float
    seconds: float
    lag: float
    code: str


class Honest:
    """The running caller.

    Attributes:
        samples: Its calls so far.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.samples: list[Sample] = []
        self._process = process
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()

    def between(self, begin: float, end: float) -> Sequence[Sample]:
        """Return the calls that began in a time, after the last of them has ended."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (not self.samples or self.samples[-1].begin < end) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return [sample for sample in self.samples if begin <= sample.begin < end]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            begin, seconds, lag, code = line.split()
            self.samples.append(Sample(float(begin), float(seconds), float(lag), code))


def p99(durations: Iterable[float]) -> float:
    """Return the duration that one in a hundred exceeds."""
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, int(len(ordered) * _PERCENTILE))]


@contextmanager
def honest_caller(address: str, key: str, root: Path | None = None) -> Iterator[Honest]:
    """Run the caller until the block ends.

    Args:
        address: The address of the server.
        key: Its API key.
        root: The root certificate of the server, if it has TLS.
    """
    variables = os.environ | {KEY_VARIABLE: key, ROOT_VARIABLE: str(root or "")}
    command = [sys.executable, "-m", "reliability.attack.honest", address]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own
        try:
            honest = Honest(process)
            honest.between(0, time.monotonic())  # until it has begun
            yield honest
        finally:
            process.kill()


def _call_for_ever(channel: grpc.Channel) -> None:
    get, metadata = LocationServiceStub(channel).GetLocation, (("authorization", f"Bearer {os.environ[KEY_VARIABLE]}"),)
    while True:
        woken = time.monotonic() + _PAUSE_SECONDS
        time.sleep(_PAUSE_SECONDS)
        begin, code = time.monotonic(), grpc.StatusCode.OK
        try:
            get(GetLocationRequest(id=MISSING_ID), metadata=metadata, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            code = error.code()
        sys.stdout.write(f"{begin} {time.monotonic() - begin} {begin - woken} {code.name}\n")
        sys.stdout.flush()


def _main(address: str) -> None:
    if root := os.environ[ROOT_VARIABLE]:
        credentials = grpc.ssl_channel_credentials(Path(root).read_bytes())
        channel = grpc.secure_channel(address, credentials)
    else:
        channel = grpc.insecure_channel(address)
    _call_for_ever(channel)


if __name__ == "__main__":
    _main(sys.argv[1])
