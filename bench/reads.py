"""Measures reads: a point read, a page of 1,000, and a deep page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import grpc

from bench.contenders import (
    FLOOR,
    PEER,
    PEER_IN_FLIGHT,
    SERVICE,
    Contender,
    Run,
    at_half_load,
    checked,
    checked_http,
    in_turns,
)
from bench.database import Postgres, fill_sprockets
from bench.load import NO_H2LOAD, Load, has_h2load, percentile
from bench.plan import Bench
from bench.processes import Server, running, serving
from bench.report import Figure, Target
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import (
    GetFactoryRequest,
    GetFactoryResponse,
    ListFactoriesRequest,
    ListFactoriesResponse,
)
from sprocket.v1.sprocket_pb2 import ListSprocketsRequest, ListSprocketsResponse
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.config.settings import Settings

GET = "/sprocket.v1.FactoryService/GetFactory"
LIST = "/sprocket.v1.FactoryService/ListFactories"

_LIST_SPROCKETS = "/sprocket.v1.SprocketService/ListSprockets"
_PAGE, _LARGEST_PAGE = 50, 1000
_ANY = "127.0.0.1:0"


class Measured(NamedTuple):
    """The measurements of contenders, by name: runs, loads at half of the maximum rate, and peaks of memory."""

    runs: Mapping[str, Sequence[Run]]
    half: Mapping[str, Sequence[Load]]
    peaks: Mapping[str, float]

    def figure(
        self, what: str, unit: str, value: Callable[[Run], float], of: str, against: str, *targets: Target
    ) -> Figure:
        """Compare a value of the runs of two contenders."""
        if against not in self.runs or of not in self.runs:
            return Figure(what, unit, [], against, [], targets, missing=NO_H2LOAD)
        return Figure(what, unit, [*map(value, self.runs[of])], against, [*map(value, self.runs[against])], targets)


@contextmanager
def open_readers(postgres: Postgres, factories: int) -> "Iterator[tuple[Server, list[str]]]":
    """Run the service, create `factories` factories, and yield the server with their ids."""
    with serving(postgres.url) as service:
        yield service, create_resources(service.address, factories).factory_ids


def measure_get(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory against the floor and the peer."""
    with ExitStack() as until_the_end:
        with bench.progress.step("starting this service, the floor and the peer"):
            service, [factory_id] = until_the_end.enter_context(open_readers(bench.postgres, 1))
            contenders = get_contenders(service, until_the_end.enter_context(running("bench.floor", _ANY)), factory_id)
            if has_h2load():
                contenders[PEER] = until_the_end.enter_context(_peer(bench, f"/factories/{factory_id}"))
        yield from _get_figures(_measure(bench, contenders))


def get_contenders(service: Server, floor: Server, factory_id: str) -> dict[str, Contender]:
    """Prepare a point read of the service and of the floor.

    Raises:
        ValueError: One of them answers with another factory.
    """
    return {name: get_contender(server, factory_id) for name, server in {SERVICE: service, FLOOR: floor}.items()}


def get_contender(server: Server, factory_id: str) -> Contender:
    """Prepare a point read of a server.

    Raises:
        ValueError: It answers with another factory.
    """
    request, response = checked(server, GET, GetFactoryRequest(id=factory_id), GetFactoryResponse())
    if response.factory.id != factory_id:
        raise ValueError(f"expected factory {factory_id}, got {response}")
    return Contender([server], request)


@contextmanager
def _peer(bench: Bench, path: str) -> Iterator[Contender]:
    pool_size = Settings.model_fields["pool_size"].default
    with running("bench.peer", bench.postgres.url, str(pool_size)) as server:
        request, _ = checked_http(server, path)
        yield Contender([server], request, PEER_IN_FLIGHT)


def _measure(bench: Bench, contenders: Mapping[str, Contender]) -> Measured:
    plan = bench.plan
    runs = in_turns(contenders, bench.postgres, plan.rounds, plan.seconds, bench.progress)
    half = at_half_load(contenders, runs, max(1, plan.rounds // 2), plan.seconds, bench.progress)
    peaks = {name: contender.peak_memory_megabytes() for name, contender in contenders.items()}
    return Measured(runs, half, peaks)


def _get_figures(measured: Measured) -> Iterator[Figure]:
    figure = measured.figure
    cpu, rate = _server_micros, _calls_per_second
    yield figure("GetFactory", "us CPU/call", cpu, SERVICE, FLOOR, Target("<=", 1.9), Target("<=", 1.6))
    yield figure(f"GET factory, {PEER}", "us CPU/call", cpu, PEER, SERVICE, Target(">=", 4))
    yield figure("GetFactory, PostgreSQL processes", "us CPU/call", _postgres_micros, SERVICE, PEER)
    yield figure("GetFactory, 16 in flight", "calls/s", rate, SERVICE, FLOOR)
    yield figure("GetFactory, 16 in flight", "calls/s", rate, SERVICE, PEER)
    yield from _latency_figures("GetFactory", measured, FLOOR)
    yield from _latency_figures("GetFactory", measured, PEER)
    yield _memory_figure("GetFactory", measured)


def _server_micros(run: Run) -> float:
    return run.server_micros


def _postgres_micros(run: Run) -> float:
    return run.postgres_micros


def _calls_per_second(run: Run) -> float:
    return run.calls_per_second


def _latency_figures(what: str, measured: Measured, against: str) -> Iterator[Figure]:
    for percent in (50, 99):
        name = f"{what}, p{percent}, each at half of its highest load"
        if against not in measured.half:
            yield Figure(name, "ms", [], against, [], missing=NO_H2LOAD)
            continue
        loads, references = measured.half[SERVICE], measured.half[against]
        ours, theirs = ([percentile(each.milliseconds, percent) for each in both] for both in (loads, references))
        yield Figure(name, "ms", ours, against, theirs)


def _memory_figure(what: str, measured: Measured) -> Figure:
    name = f"{what}, peak memory"
    if PEER not in measured.peaks:
        return Figure(name, "MB", [], PEER, [], missing=NO_H2LOAD)
    return Figure(name, "MB", [measured.peaks[SERVICE]], PEER, [measured.peaks[PEER]])


def measure_list(bench: Bench) -> Iterator[Figure]:
    """Measure ListFactories with a page of 1,000 against the peer."""
    what = f"ListFactories of {_LARGEST_PAGE:,}"
    with ExitStack() as until_the_end:
        with bench.progress.step("starting this service and the peer"):
            service, _ = until_the_end.enter_context(open_readers(bench.postgres, _LARGEST_PAGE))
            page = ListFactoriesRequest(page_size=_LARGEST_PAGE)
            request, response = checked(service, LIST, page, ListFactoriesResponse())
            if len(response.factories) != _LARGEST_PAGE:
                raise ValueError(f"expected a page of {_LARGEST_PAGE}, got {len(response.factories)}")
            contenders = {SERVICE: Contender([service], request)}
            if has_h2load():
                contenders[PEER] = until_the_end.enter_context(_peer(bench, f"/factories?limit={_LARGEST_PAGE}"))
        measured = _measure(bench, contenders)
    unit = "us CPU/call"
    yield measured.figure(f"GET factories, {PEER}", unit, _server_micros, PEER, SERVICE, Target(">=", 5))
    yield measured.figure(f"{what}, PostgreSQL processes", unit, _postgres_micros, SERVICE, PEER)
    yield measured.figure(f"{what}, 16 in flight", "calls/s", _calls_per_second, SERVICE, PEER)
    yield from _latency_figures(what, measured, PEER)
    yield _memory_figure(what, measured)


def measure_pages(bench: Bench) -> Iterator[Figure]:
    """Measure a deep page of sprockets against the first page, including the CPU of PostgreSQL."""
    number, plan = bench.plan.page, bench.plan
    with serving(bench.postgres.url) as service:
        resources = create_resources(service.address, 1)
        fill_sprockets(
            bench.postgres, resources.factory_ids[0], resources.sprocket_type_id, (number + 1) * _PAGE, bench.progress
        )
        with bench.progress.step(f"going to page {number:,}"):
            token = _token_of(service, (number - 1) * _PAGE)
        deep, first = f"page {number:,} of {_PAGE} sprockets", "page 1"
        contenders = {deep: _page(service, token), first: _page(service, "")}
        runs = in_turns(contenders, bench.postgres, plan.rounds, plan.seconds, bench.progress)
    measured = Measured(runs, {}, {})
    yield measured.figure(f"{deep}, with PostgreSQL", "us CPU/call", _all_micros, deep, first, Target("<=", 1.2))
    yield measured.figure(f"{deep}, 16 in flight", "calls/s", _calls_per_second, deep, first)


def _all_micros(run: Run) -> float:
    return run.server_micros + run.postgres_micros


def _page(service: Server, token: str) -> Contender:
    page = ListSprocketsRequest(page_size=_PAGE, page_token=token)
    request, response = checked(service, _LIST_SPROCKETS, page, ListSprocketsResponse())
    if len(response.sprockets) != _PAGE or not response.next_page_token:
        raise ValueError(f"expected a full page of {_PAGE} and a next page, got {len(response.sprockets)}")
    return Contender([service], request)


def _token_of(service: Server, skipped: int) -> str:
    """Return the token of the page after the first `skipped` sprockets, in as few calls as possible."""
    token = ""
    with grpc.insecure_channel(service.address) as channel:
        sprockets = SprocketServiceStub(channel)
        while skipped > 0:
            size = min(skipped, _LARGEST_PAGE)
            token = sprockets.ListSprockets(ListSprocketsRequest(page_size=size, page_token=token)).next_page_token
            skipped -= size
    return token
