"""What is loaded and compared: a server, the request it is sent, and what a call costs it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple, TypeVar
from urllib.request import urlopen

import grpc
from google.protobuf.message import Message

from bench import processes
from bench.database import Postgres
from bench.load import Flight, Load, Request, drive
from bench.processes import Server
from bench.report import Progress, interleave

SERVICE = "this service"
FLOOR = "grpc.aio echo, no database"
PEER = "FastAPI and ORM"

IN_FLIGHT = Flight(connections=4, streams=4)
"""What the targets are about: 16 in flight over 4 connections."""

PEER_IN_FLIGHT = Flight(connections=16, streams=1)
"""The same for HTTP/1.1, which has one request on a connection."""

_WARM_UP_CALLS = 64
_WIDE = Flight(connections=4, streams=50)  # enough for a rate to be kept whatever a call takes

# The peer has 40 threads. All of them can wait for a connection of the pool while what would give one back waits for a
# thread: with more requests at once, it stands still for the 30 s after which the pool gives up.
_WIDE_HTTP = Flight(connections=32, streams=1)
_PATIENCE_SECONDS = 30

_M = TypeVar("_M", bound=Message)


class Run(NamedTuple):
    """What calls came to in one round.

    Attributes:
        calls_per_second: By the clock.
        server_micros: CPU of the server per call, in microseconds.
        postgres_micros: CPU of PostgreSQL per call, in microseconds.
    """

    calls_per_second: float
    server_micros: float
    postgres_micros: float


@dataclass(frozen=True)
class Contender:
    """A server with a request.

    Attributes:
        servers: Its processes.
        request: What it is sent.
        flight: How many at once.
    """

    servers: Sequence[Server]
    request: Request
    flight: Flight = IN_FLIGHT

    def run(self, postgres: Postgres, calls: int) -> Run:
        """Let it answer so many calls."""
        server_before, postgres_before = self._cpu_seconds(postgres)
        load = drive(self.request, calls, self.flight)
        server_after, postgres_after = self._cpu_seconds(postgres)
        each = 1e6 / calls
        return Run(
            load.calls_per_second, (server_after - server_before) * each, (postgres_after - postgres_before) * each
        )

    def calls_in(self, seconds: float) -> int:
        """Warm it up, and return how many calls it answers in so many seconds."""
        drive(self.request, _WARM_UP_CALLS, self.flight)
        rate = drive(self.request, _WARM_UP_CALLS, self.flight).calls_per_second
        return max(_WARM_UP_CALLS, int(rate * seconds))

    def at_rate(self, rate: float, seconds: float) -> Load:
        """Send it so many requests a second, whether or not it has answered those before."""
        wide = _WIDE if self.request.message is not None else _WIDE_HTTP
        return drive(self.request, max(_WARM_UP_CALLS, int(rate * seconds)), wide, rate)

    def peak_memory_megabytes(self) -> float:
        """Return how much memory its processes had at most."""
        return sum(processes.peak_memory_megabytes(server.pid) for server in self.servers)

    def _cpu_seconds(self, postgres: Postgres) -> tuple[float, float]:
        servers = sum(processes.family_cpu_seconds(server.pid) for server in self.servers)
        return servers, processes.family_cpu_seconds(postgres.pid)


def in_turns(
    contenders: Mapping[str, Contender], postgres: Postgres, rounds: int, seconds: float, progress: Progress
) -> dict[str, list[Run]]:
    """Load contenders in turns, each for about so many seconds a round."""
    with progress.step(f"warming up {', '.join(contenders)}"):
        calls = {name: contender.calls_in(seconds) for name, contender in contenders.items()}
    measured = {name: partial(contender.run, postgres, calls[name]) for name, contender in contenders.items()}
    return interleave(measured, rounds, progress)


def at_half_load(
    contenders: Mapping[str, Contender],
    runs: Mapping[str, Sequence[Run]],
    rounds: int,
    seconds: float,
    progress: Progress,
) -> dict[str, list[Load]]:
    """Load each contender with half of the calls that it has answered at most, in turns."""
    rates = {name: median(run.calls_per_second for run in runs[name]) / 2 for name in contenders}
    measured = {name: partial(each.at_rate, rates[name], seconds) for name, each in contenders.items()}
    return interleave(measured, rounds, progress)


def checked(server: Server, path: str, message: Message, response: _M) -> tuple[Request, _M]:
    """Make a call with a real client, and return it as a request that is to be answered alike, and its answer."""
    content = message.SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        answer = call(content, timeout=_PATIENCE_SECONDS)
    response.ParseFromString(answer)
    return Request(server.address, path, content, len(answer)), response


def checked_http(server: Server, path: str) -> tuple[Request, object]:
    """Do the same with HTTP and JSON."""
    with urlopen(f"http://{server.address}{path}", timeout=_PATIENCE_SECONDS) as response:  # our own
        answer = response.read()
    return Request(server.address, path, None, len(answer)), json.loads(answer)
