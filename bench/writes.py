"""Measures writes: concurrent creates in one factory against pgbench, and batches against single creates."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import grpc

from bench.contenders import Contender, checked
from bench.load import Flight, Request, drive
from bench.pgbench import ONE_STATEMENT, THREE_STATEMENTS, commits_per_second
from bench.plan import Bench
from bench.processes import Server, serving
from bench.report import Figure, Target, interleave
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import GetFactoryRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import (
    BatchCreateSprocketsRequest,
    BatchCreateSprocketsResponse,
    CreateSprocketRequest,
    CreateSprocketResponse,
    Sprocket,
)

_SERVICE = "/sprocket.v1.SprocketService"
_HOT_FLIGHT = Flight(connections=4, streams=16)
_ALONE = Flight(connections=1, streams=1)
_MANY = (16, 64)
_PGBENCH_CLIENTS = 16
_BATCH = 1000
_UNIT = "sprockets/s"


class _Hot(NamedTuple):
    """The factory in which all sprockets are created, with its server."""

    service: Server
    sprocket: Sprocket

    def actual(self) -> int:
        with grpc.insecure_channel(self.service.address) as channel:
            request = GetFactoryRequest(id=self.sprocket.factory_id)
            return FactoryServiceStub(channel).GetFactory(request).factory.sprocket_production_actual

    def created_per_second(self, bench: Bench, contender: Contender, calls: int, each: int) -> float:
        """Create sprockets, `each` per call, and check that the factory has counted all of them.

        Raises:
            ValueError: The counter of the factory differs from the number of created sprockets.
        """
        before = self.actual()
        rate = contender.run(bench.postgres, calls).calls_per_second
        if self.actual() - before != calls * each:
            raise ValueError(f"created {calls * each} sprockets, but the factory counted {self.actual() - before}")
        return rate * each


def measure_create(bench: Bench) -> Iterator[Figure]:
    """Measure creates in one factory against pgbench with one commit per create."""
    with serving(bench.postgres.url) as service:
        hot, other = _prepare(service)
        contenders = {
            "64 in flight": Contender([service], _one(hot), _HOT_FLIGHT),
            "1 in flight": Contender([service], _one(hot), _ALONE),
        }
        with bench.progress.step("warming up"):
            calls = {name: each.calls_in(bench.plan.seconds) for name, each in contenders.items()}
        creates = {
            name: partial(hot.created_per_second, bench, each, calls[name], 1) for name, each in contenders.items()
        }
        limits = {
            (script, clients): partial(
                commits_per_second, bench.postgres, script, [other], clients, max(1, round(bench.plan.seconds))
            )
            for script in (ONE_STATEMENT, THREE_STATEMENTS)
            for clients in (_PGBENCH_CLIENTS, 1)
        }
        named = {f"pgbench, {script.name}, clients: {clients}": each for (script, clients), each in limits.items()}
        runs = interleave(creates | named, bench.plan.rounds, bench.progress)
    yield from _create_figures(runs)


def _create_figures(runs: dict[str, list[float]]) -> Iterator[Figure]:
    many = [runs[f"pgbench, {each.name}, clients: {_PGBENCH_CLIENTS}"] for each in (ONE_STATEMENT, THREE_STATEMENTS)]
    alone = runs[f"pgbench, {ONE_STATEMENT.name}, clients: 1"]
    create, against = "CreateSprocket on one factory", "pgbench, a commit each"
    best = [max(pair) for pair in zip(*many, strict=True)]
    yield Figure(
        f"{create}, 64 in flight",
        _UNIT,
        runs["64 in flight"],
        f"{against}, its best of 16 clients",
        best,
        (Target(">", 1), Target(">=", 2)),
    )
    yield Figure(f"{create}, 64 in flight", _UNIT, runs["64 in flight"], f"{against}, 1 client", alone)
    yield Figure(f"{create}, 1 in flight", _UNIT, runs["1 in flight"], f"{against}, 1 client", alone)
    yield Figure("pgbench, one statement, 16 clients", _UNIT, many[0], "three statements in a transaction", many[1])


def measure_creates(bench: Bench) -> Iterator[Figure]:
    """Measure creates in many factories, one in flight in each, against pgbench with one commit per create."""
    with serving(bench.postgres.url) as service:
        resources = create_resources(service.address, max(_MANY))
        sprockets = [
            Sprocket(factory_id=each, sprocket_type_id=resources.sprocket_type_id) for each in resources.factory_ids
        ]
        requests = [_one(_Hot(service, each)) for each in sprockets]
        measured = {}
        for number in _MANY:
            with bench.progress.step(f"warming up {number} in flight"):
                calls = round(created_per_second(requests[:number], 50) * bench.plan.seconds / number)
            measured[f"{number} in flight"] = partial(created_per_second, requests[:number], max(calls, 50))
        limits = partial(commits_per_second, bench.postgres, ONE_STATEMENT, sprockets, _PGBENCH_CLIENTS)
        measured["pgbench"] = partial(limits, max(1, round(bench.plan.seconds)))
        runs = interleave(measured, bench.plan.rounds, bench.progress)
    for number in _MANY:
        name = f"CreateSprocket on {number} factories, {number} in flight"
        against = f"pgbench, a commit each, {_PGBENCH_CLIENTS} clients"
        yield Figure(name, _UNIT, runs[f"{number} in flight"], against, runs["pgbench"], (Target(">=", 0.5),))


def created_per_second(requests: Sequence[Request], calls: int) -> float:
    """Repeat each request `calls` times, all at the same time, one after the other each."""
    with ThreadPoolExecutor(len(requests)) as pool:
        loads = [*pool.map(lambda each: drive(each, calls, _ALONE), requests)]
    return sum(each.calls_per_second for each in loads)


def measure_batch(bench: Bench) -> Iterator[Figure]:
    """Measure batches of 1,000 against single creates, sequentially and with 64 in flight."""
    with serving(bench.postgres.url) as service:
        hot, _ = _prepare(service)
        batch = BatchCreateSprocketsRequest(sprockets=[hot.sprocket] * _BATCH)
        request, response = checked(service, f"{_SERVICE}/BatchCreateSprockets", batch, BatchCreateSprocketsResponse())
        if len(response.sprockets) != _BATCH:
            raise ValueError(f"expected a batch of {_BATCH}, got {len(response.sprockets)}")
        contenders = {
            "batches": (Contender([service], request, _ALONE), max(2, round(bench.plan.seconds * 5)), _BATCH),
            "single, 64 in flight": (Contender([service], _one(hot), _HOT_FLIGHT), 0, 1),
            "single, one after the other": (Contender([service], _one(hot), _ALONE), 0, 1),
        }
        measured = {
            name: partial(
                hot.created_per_second, bench, contender, calls or contender.calls_in(bench.plan.seconds), each
            )
            for name, (contender, calls, each) in contenders.items()
        }
        runs = interleave(measured, bench.plan.rounds, bench.progress)
    what, targets = f"BatchCreateSprockets of {_BATCH:,}, one after the other", (Target(">=", 30),)
    for name in list(runs)[1:]:
        alike = name.startswith("single, one")
        yield Figure(what, _UNIT, runs["batches"], f"CreateSprocket, {name}", runs[name], targets if alike else ())


def create_contender(server: Server, sprocket: Sprocket) -> Contender:
    """Prepare creates of a sprocket in a server."""
    return Contender([server], _one(_Hot(server, sprocket)))


def _prepare(service: Server) -> tuple[_Hot, Sprocket]:
    """Create a factory for the service and another one for pgbench."""
    resources = create_resources(service.address, 2)
    hot, other = (
        Sprocket(factory_id=each, sprocket_type_id=resources.sprocket_type_id) for each in resources.factory_ids
    )
    return _Hot(service, hot), other


def _one(hot: _Hot) -> Request:
    message = CreateSprocketRequest(sprocket=hot.sprocket)
    request, _ = checked(hot.service, f"{_SERVICE}/CreateSprocket", message, CreateSprocketResponse())
    return request
