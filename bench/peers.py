"""Measures two calls against bare servers: grpc.aio and psycopg in Python, and grpc-go and pgx in Go."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import processes
from bench.contenders import SERVICE, Contender, Run, cost, in_turns
from bench.database import Postgres
from bench.load import CannotBeMeasuredError, Flight, drive, percentile
from bench.pgbench import create_statement
from bench.plan import Bench
from bench.processes import Server, running, running_program, serving
from bench.reads import get_contender
from bench.report import Figure, Target, interleave
from bench.resources import Resources, create_resources
from bench.writes import create_contender, created_per_second
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket_grpc.config.settings import Settings

_BARE, _GO = "bare grpc.aio + psycopg", "bare grpc-go + pgx"
_GO_FOLDER = Path(__file__).parent / "go"
_GO_PROGRAM = Path(__file__).parents[1] / "build" / "bench-go" / "server"
_GO_PARAMETERS = ("CAST($1 AS text)", "CAST($2 AS text)", "CAST($3 AS text)")
_NO_GO = "bench/go cannot be built; its Makefile names the Debian packages"
_IN_FLIGHT = 16
_POOL_SIZE = Settings.model_fields["pool_size"].default
_GET, _GET_WIDE = "GetFactory, 16 in flight", "GetFactory, 64 in flight"
_CREATE = f"CreateSprocket in {_IN_FLIGHT} factories, 1 in flight in each"
_TARGETS: Mapping[str, Mapping[str, tuple[Target, ...]]] = {
    _GET: {_BARE: (Target("<=", 1),), _GO: ()},
    _GET_WIDE: {_BARE: (), _GO: (Target("<=", 1.2),)},
    _CREATE: {_BARE: (), _GO: (Target("<=", 1),)},
}
_WIDE = Flight(connections=4, streams=16)
_ALONE = Flight(connections=1, streams=1)


def measure_peers(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory with 1, 16 and 64 in flight, and CreateSprocket in 16 factories."""
    with ExitStack() as until_the_end:
        servers, missing = _servers(bench, until_the_end)
        resources = create_resources(servers[SERVICE].address, _IN_FLIGHT)
        gets = {name: get_contender(server, resources.factory_ids[0]) for name, server in servers.items()}
        wide = {name: replace(each, flight=_WIDE) for name, each in gets.items()}
        runs = {
            _GET: in_turns(gets, bench.postgres, bench.plan.rounds, bench.plan.seconds, bench.progress),
            _GET_WIDE: in_turns(wide, bench.postgres, bench.plan.few_rounds, bench.plan.seconds, bench.progress),
            _CREATE: _creates(bench, servers, resources),
        }
        medians = _medians(bench, gets)
    for call, targets in _TARGETS.items():
        for against, bounds in targets.items():
            yield from _figures(call, runs[call], against, bounds, missing)
    yield from _median_figures(medians, missing)


def _servers(bench: Bench, until_the_end: ExitStack) -> tuple[dict[str, Server], str]:
    """Run the contenders until the end; return them by name, and why the one in Go is missing."""
    servers = {SERVICE: until_the_end.enter_context(serving(bench.postgres.url))}
    servers[_BARE] = until_the_end.enter_context(_bare(bench.postgres))
    try:
        servers[_GO] = until_the_end.enter_context(_go(bench))
    except CannotBeMeasuredError as error:
        return servers, str(error)
    return servers, ""


def _median_figures(medians: Mapping[str, list[float]], missing: str) -> Iterator[Figure]:
    targets: Mapping[str, tuple[Target, ...]] = {_BARE: (), _GO: (Target("<=", 1.5),)}
    for against, bounds in targets.items():
        theirs = medians.get(against, [])
        ours = medians[SERVICE] if theirs else []
        yield Figure("GetFactory, 1 in flight, p50", "ms", ours, against, theirs, bounds, "" if theirs else missing)


def _medians(bench: Bench, contenders: Mapping[str, Contender]) -> dict[str, list[float]]:
    """Return the median latencies of calls one after the other, in milliseconds."""

    def median_latency(contender: Contender, calls: int) -> float:
        return percentile(drive(contender.request, calls, _ALONE).milliseconds, 50)

    alone = {name: replace(each, flight=_ALONE) for name, each in contenders.items()}
    calls = {name: each.calls_in(bench.plan.seconds / 2) for name, each in alone.items()}
    measured = {name: partial(median_latency, each, calls[name]) for name, each in alone.items()}
    return interleave(measured, bench.plan.few_rounds, bench.progress)


def _figures(
    call: str, runs: Mapping[str, list[Run]], against: str, targets: tuple[Target, ...], missing: str
) -> Iterator[Figure]:
    for what, unit, value, bounds in (
        (call, "us CPU/call", "server_micros", targets),
        (call, "us CPU/call of PostgreSQL", "postgres_micros", ()),
        (call, "calls/s", "calls_per_second", ()),
    ):
        if against not in runs:
            yield Figure(what, unit, [], against, [], bounds, missing)
            continue
        ours, theirs = ([getattr(run, value) for run in runs[each]] for each in (SERVICE, against))
        yield Figure(what, unit, ours, against, theirs, bounds)


def _creates(bench: Bench, servers: Mapping[str, Server], resources: Resources) -> dict[str, list[Run]]:
    sprockets = [
        Sprocket(factory_id=each, sprocket_type_id=resources.sprocket_type_id) for each in resources.factory_ids
    ]
    measured = {}
    for name, server in servers.items():
        requests = [create_contender(server, each).request for each in sprockets]
        with bench.progress.step(f"warming up {name}"):
            calls = max(50, round(created_per_second(requests, 50) * bench.plan.seconds / _IN_FLIGHT))
        load = partial(created_per_second, requests, calls)
        measured[name] = partial(cost, [server], bench.postgres, calls * _IN_FLIGHT, load)
    return interleave(measured, bench.plan.few_rounds, bench.progress)


def _bare(postgres: Postgres) -> AbstractContextManager[Server]:
    return running("bench.bare", postgres.connection_string, str(_POOL_SIZE))


def _go(bench: Bench) -> AbstractContextManager[Server]:
    """Build the peer in Go, and run it.

    Raises:
        CannotBeMeasuredError: Go or a package is not installed.
    """
    if shutil.which("go") is None:
        raise CannotBeMeasuredError(_NO_GO)
    with bench.progress.step("building the peer in Go"):
        try:
            processes.run("make", "--silent", "-C", _GO_FOLDER)
        except subprocess.CalledProcessError as error:
            raise CannotBeMeasuredError(_NO_GO) from error
    connection = f"{bench.postgres.connection_string} pool_max_conns={_POOL_SIZE}"
    return running_program(_GO_PROGRAM, connection, create_statement(*_GO_PARAMETERS))
