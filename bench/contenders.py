"""The contenders of a comparison: a server, the request that it gets, and the cost of a call."""

import json
from collections.abc import Callable, Mapping, Sequence
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
"""The load that the targets refer to: 16 requests in flight over 4 connections."""

PEER_IN_FLIGHT = Flight(connections=16, streams=1)
"""The same load for HTTP/1.1, which allows one request per connection."""

_WARM_UP_CALLS = 64
_WIDE = Flight(connections=4, streams=50)  # enough to keep up the rate even if calls are slow

# The peer has 40 threads. With more concurrent requests it deadlocks until the pool's timeout of 30 s: all threads wait
# for a connection, and the request that would return one waits for a thread.
_WIDE_HTTP = Flight(connections=32, streams=1)
_PATIENCE_SECONDS = 30

_M = TypeVar("_M", bound=Message)


class Run(NamedTuple):
    """The result of one round.

    Attributes:
        calls_per_second: Calls per second of wall-clock time.
        server_micros: CPU time of the server per call, in microseconds.
        postgres_micros: CPU time of PostgreSQL per call, in microseconds.
    """

    calls_per_second: float
    server_micros: float
    postgres_micros: float


@dataclass(frozen=True)
class Contender:
    """A server and the request to load it with.

    Attributes:
        servers: The processes of the server.
        request: The request that is repeated.
        flight: The number of concurrent requests.
    """

    servers: Sequence[Server]
    request: Request
    flight: Flight = IN_FLIGHT

    def run(self, postgres: Postgres, calls: int) -> Run:
        """Send the given number of calls, and return their cost."""
        return cost(self.servers, postgres, calls, lambda: drive(self.request, calls, self.flight).calls_per_second)

    def calls_in(self, seconds: float) -> int:
        """Warm the server up, and return the number of calls that it answers in the given time."""
        drive(self.request, _WARM_UP_CALLS, self.flight)
        rate = drive(self.request, _WARM_UP_CALLS, self.flight).calls_per_second
        return max(_WARM_UP_CALLS, int(rate * seconds))

    def at_rate(self, rate: float, seconds: float) -> Load:
        """Send `rate` requests per second, without waiting for the responses to earlier requests."""
        wide = _WIDE if self.request.message is not None else _WIDE_HTTP
        return drive(self.request, max(_WARM_UP_CALLS, int(rate * seconds)), wide, rate)

    def peak_memory_megabytes(self) -> float:
        """Return the peak memory of its processes together."""
        return sum(processes.peak_memory_megabytes(server.pid) for server in self.servers)


def cost(servers: Sequence[Server], postgres: Postgres, calls: int, load: Callable[[], float]) -> Run:
    """Run a load of some calls, which returns its rate, and return the cost of a call."""
    before = _cpu_seconds(servers, postgres)
    rate = load()
    after = _cpu_seconds(servers, postgres)
    ours, database = ((end - begin) / calls * 1e6 for begin, end in zip(before, after, strict=True))
    return Run(rate, ours, database)


def _cpu_seconds(servers: Sequence[Server], postgres: Postgres) -> tuple[float, float]:
    return sum(processes.family_cpu_seconds(each.pid) for each in servers), processes.family_cpu_seconds(postgres.pid)


def in_turns(
    contenders: Mapping[str, Contender], postgres: Postgres, rounds: int, seconds: float, progress: Progress
) -> dict[str, list[Run]]:
    """Load contenders in turns, each for about `seconds` per round."""
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
    """Load contenders in turns, each at half of its median rate in `runs`."""
    rates = {name: median(run.calls_per_second for run in runs[name]) / 2 for name in contenders}
    measured = {name: partial(each.at_rate, rates[name], seconds) for name, each in contenders.items()}
    return interleave(measured, rounds, progress)


class Access(NamedTuple):
    """How a client is permitted to call.

    Attributes:
        headers: Further headers, such as credentials.
        root: The root certificate of the server's in PEM; empty for a connection without TLS.
    """

    headers: tuple[tuple[str, str], ...] = ()
    root: bytes = b""

    def channel(self, address: str) -> grpc.Channel:
        """Connect."""
        if self.root:
            return grpc.secure_channel(address, grpc.ssl_channel_credentials(self.root))
        return grpc.insecure_channel(address)


_ANYONE = Access()


def checked(server: Server, path: str, message: Message, response: _M, access: Access = _ANYONE) -> tuple[Request, _M]:
    """Make a call with a real gRPC client, and return it as a request to repeat, with its response."""
    content = message.SerializeToString()
    with access.channel(server.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        answer = call(content, timeout=_PATIENCE_SECONDS, metadata=access.headers)
    response.ParseFromString(answer)
    return Request(server.address, path, content, len(answer), access.headers, bool(access.root)), response


def checked_http(server: Server, path: str) -> tuple[Request, object]:
    """Make a GET request, and return it as a request to repeat, with its decoded JSON."""
    with urlopen(f"http://{server.address}{path}", timeout=_PATIENCE_SECONDS) as response:  # our own
        answer = response.read()
    return Request(server.address, path, None, len(answer)), json.loads(answer)
