"""Measures the start of the server, and the gain from a second worker."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from bench.contenders import Contender, checked, in_turns
from bench.load import Flight
from bench.plan import Bench
from bench.processes import Server, running, serving
from bench.reads import GET
from bench.report import Figure, Target, interleave
from sprocket.v1.factory_pb2 import GetFactoryRequest, GetFactoryResponse

PROMISED_SECONDS = 1.5

_WITHOUT = "the libraries alone: grpc, SQLAlchemy, psycopg, pydantic-settings"
_IMPORTS = {
    "import": "import sprocket_grpc.cli.main, sprocket_grpc.cli.serve, sprocket_grpc.server.run",
    _WITHOUT: "import click, grpc, psycopg, pydantic_settings, sqlalchemy.ext.asyncio, google.protobuf.timestamp_pb2",
}
_WORKERS = 2
_WORK_MICROSECONDS = 1000
_ANY = "127.0.0.1:0"
# The kernel assigns connections to workers at random. With few connections, one worker gets more of the load and
# finishes later.
_MANY_CONNECTIONS = Flight(connections=256, streams=1)
_CHECK = "/grpc.health.v1.Health/Check"


def measure_start(bench: Bench) -> Iterator[Figure]:
    """Measure the time from the command to SERVING on a migrated database, and the CPU of the imports."""
    runs = interleave({"start to SERVING": partial(_start_seconds, bench)}, bench.plan.rounds, bench.progress)
    seconds = runs["start to SERVING"]
    promised = [PROMISED_SECONDS] * len(seconds)
    yield Figure("start to SERVING", "s", seconds, "promised maximum", promised, (Target("<=", 1),))
    imports = {name: partial(_import_seconds, code) for name, code in _IMPORTS.items()}
    cpu = interleave(imports, bench.plan.rounds, bench.progress)
    yield Figure("imports of `serve`", "s CPU", cpu["import"], _WITHOUT, cpu[_WITHOUT])


def _start_seconds(bench: Bench) -> float:
    begin = time.perf_counter()
    with serving(bench.postgres.url) as server:
        _, response = checked(server, _CHECK, HealthCheckRequest(), HealthCheckResponse())
        seconds = time.perf_counter() - begin
    if response.status != HealthCheckResponse.SERVING:
        raise ValueError(f"expected SERVING, got {HealthCheckResponse.ServingStatus.Name(response.status)}")
    return seconds


def _import_seconds(code: str) -> float:
    """Return the CPU time of a new Python process that runs the imports, in seconds."""
    before = _children_seconds()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # constants only
    return _children_seconds() - before


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_workers(bench: Bench) -> Iterator[Figure]:
    """Measure two processes of the floor on one port against one process.

    There is no database, because it would be the bottleneck. The bare handler uses so little CPU that gRPC's threads
    and the client need as much, and two cores have none left for a second process. A handler with work in Python, which
    is what workers are for, shows the gain.
    """
    yield from _measure_workers(bench, "floor handler", 0)
    yield from _measure_workers(bench, f"floor handler with {_WORK_MICROSECONDS:,} us of Python", _WORK_MICROSECONDS)


def _measure_workers(bench: Bench, handler: str, work_micros: int) -> Iterator[Figure]:
    with ExitStack() as until_the_end:

        def floor(address: str) -> Server:
            return until_the_end.enter_context(running("bench.floor", address, str(work_micros)))

        one, multiple = [floor(_ANY)], [floor(_ANY)]
        multiple += [floor(multiple[0].address) for _ in range(1, _WORKERS)]
        many, single = f"{_WORKERS} workers, {handler}", "1 worker"
        contenders = {many: _on_one_port(multiple), single: _on_one_port(one)}
        runs = in_turns(contenders, bench.postgres, bench.plan.few_rounds, bench.plan.seconds, bench.progress)
    rates = {name: [run.calls_per_second for run in each] for name, each in runs.items()}
    cpu = {name: [run.server_micros for run in each] for name, each in runs.items()}
    yield Figure(many, "calls/s", rates[many], single, rates[single], (Target(">=", 1.7),))
    yield Figure(many, "us CPU/call", cpu[many], single, cpu[single])


def _on_one_port(servers: list[Server]) -> Contender:
    message = GetFactoryRequest(id="00000000-0000-7000-8000-000000000000")
    request, _ = checked(servers[0], GET, message, GetFactoryResponse())
    return Contender(servers, request, _MANY_CONNECTIONS)
