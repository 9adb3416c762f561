"""Measures a server under more load than it can answer, and light calls beside heavy ones."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.contenders import IN_FLIGHT, checked
from bench.load import (
    FRAME_BYTES,
    NO_H2LOAD,
    CannotBeMeasuredError,
    Flight,
    Request,
    arguments,
    has_h2load,
    percentile,
    received_bytes,
)
from bench.plan import Bench
from bench.probe import Latencies, probe
from bench.processes import serving
from bench.reads import LIST, get_contender
from bench.report import Figure, Target, interleave
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import ListFactoriesRequest, ListFactoriesResponse

_TIMES = (2, 6, 20)
_PROMISED_MILLISECONDS = 5
_WIDE = Flight(connections=32, streams=100)
_PAUSE_SECONDS = 0.01  # of the caller whose latencies are measured: it is not meant to be load
_PAGE = 1000
_HEAVY = Flight(connections=4, streams=8)
_BESIDE_SECONDS = 1.0  # the load begins that much earlier, and ends that much later


class _Round(NamedTuple):
    """The result of a round.

    Attributes:
        rate: The rate of answered calls, in calls/s.
        latencies: Those of a single caller meanwhile.
    """

    rate: float
    latencies: Latencies = Latencies([], [])


def measure_overload(bench: Bench) -> Iterator[Figure]:
    """Measure how many of too many calls are answered, and how fast the others are refused.

    h2load sends calls at multiples of the rate that the server answers with 16 in flight, and has up to 3,200 in flight
    itself. The limits of one caller are its limits, and those of the caller whose refusals are timed.
    """
    _require_h2load()
    with serving(bench.postgres.url) as service:
        contender = get_contender(service, create_resources(service.address, 1).factory_ids[0])
        with bench.progress.step("measuring the capacity"):
            capacity = _flood(contender.request, IN_FLIGHT, bench.plan.seconds, None)
        measured = {"capacity": partial(_flooded, contender.request, IN_FLIGHT, bench.plan.seconds)}
        for times in _TIMES:
            flood = partial(_flooded, contender.request, _WIDE, bench.plan.seconds, times * capacity)
            measured[f"{times} x"] = flood
        runs = interleave(measured, bench.plan.few_rounds, bench.progress)
    capacity_rounds = runs.pop("capacity")
    for name, rounds in runs.items():
        what = f"GetFactory at {name} the capacity"
        yield from _answers(what, rounds, capacity_rounds)
        yield from _refusals(what, rounds)


def _answers(what: str, rounds: Sequence[_Round], references: Sequence[_Round]) -> Iterator[Figure]:
    rates, capacities = ([each.rate for each in both] for both in (rounds, references))
    yield Figure(f"{what}, answered", "calls/s", rates, "capacity", capacities, (Target(">=", 0.9),))
    ours, theirs = (
        [percentile(each.latencies.answered, 50) for each in both if each.latencies.answered]
        for both in (rounds, references)
    )
    missing = "" if len(ours) == len(theirs) else "no call of the other caller was answered"
    yield Figure(f"{what}, p50 of another caller", "ms", ours, "at the capacity", theirs, missing=missing)


def _refusals(what: str, rounds: Sequence[_Round]) -> Iterator[Figure]:
    refused = [each.latencies.refused for each in rounds if each.latencies.refused]
    for percent, targets in {50: (), 99: (Target("<=", 1),)}.items():
        times = [percentile(each, percent) for each in refused]
        promised = [float(_PROMISED_MILLISECONDS)] * len(times)
        missing = "" if times else "no call was refused"
        yield Figure(f"{what}, p{percent} of refusals", "ms", times, "promised maximum", promised, targets, missing)


def measure_fairness(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory, one call after the other, alone and beside 32 callers of ListFactories of 1,000."""
    _require_h2load()
    with serving(bench.postgres.url) as service:
        light = get_contender(service, create_resources(service.address, _PAGE).factory_ids[0]).request
        page = ListFactoriesRequest(page_size=_PAGE)
        heavy, _ = checked(service, LIST, page, ListFactoriesResponse())
        beside = partial(_flooded, heavy, _HEAVY, bench.plan.seconds, light=light)
        measured = {"alone": partial(_alone, light, bench.plan.seconds), "beside": beside}
        runs = interleave(measured, bench.plan.few_rounds, bench.progress)
    reference = [percentile(each.latencies.answered, 50) for each in runs["alone"]]
    for percent, targets in {50: (), 99: (Target("<=", 10),)}.items():
        times = [percentile(each.latencies.answered, percent) for each in runs["beside"]]
        what = f"GetFactory beside 32 ListFactories of {_PAGE:,}, p{percent}"
        yield Figure(what, "ms", times, "its p50 alone", reference, targets)


def _require_h2load() -> None:
    if not has_h2load():
        raise CannotBeMeasuredError(NO_H2LOAD)


def _alone(request: Request, seconds: float) -> _Round:
    return _Round(0, probe(request, seconds))


def _flooded(
    heavy: Request, flight: Flight, seconds: float, rate: float | None = None, light: Request | None = None
) -> _Round:
    """Flood a server, and measure the latencies of a caller of `light`, or else of the same call now and then."""
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(_flood, heavy, flight, seconds + 2 * _BESIDE_SECONDS, rate)
        time.sleep(_BESIDE_SECONDS)
        latencies = probe(light, seconds) if light else probe(heavy, seconds, _PAUSE_SECONDS)
        return _Round(flooding.result(), latencies)


def _flood(request: Request, flight: Flight, seconds: float, rate: float | None) -> float:
    """Send a request for some time, and return the rate of answers. Refusals have no body, so their size tells them."""
    command = ["h2load", f"-D{round(1000 * seconds)}ms", f"-c{flight.connections}", f"-m{flight.streams}"]
    if rate is not None:
        command += [f"--rps={rate / flight.connections:.3f}"]
    with tempfile.TemporaryDirectory() as directory:
        output = processes.run(*command, *arguments(Path(directory), request))
    return received_bytes(output) / (request.response_bytes + FRAME_BYTES) / seconds
