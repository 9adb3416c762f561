"""Which faults come one after another, and which statuses they may have."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from random import Random
from typing import NamedTuple

import click
from grpc import StatusCode

from reliability.chaos.calls import RETRIED
from reliability.chaos.faults import FAULTS

_SECONDS = 300
_STOPS, _RESTARTS = 50, 100
_SUITES = {
    "stops": ["stop-server"] * _STOPS,
    "database": ["restart-postgres-fast", "kill-postgres", "reset-database"] * _RESTARTS,
}


class Plan(NamedTuple):
    """The faults of a run.

    Attributes:
        faults: Their names; endless, unless it is a suite.
        allowed: The statuses that calls may end with besides OK.
        seed: The source of all that is drawn.
        seconds: How long the run lasts; a suite may end before.
    """

    faults: Iterator[str]
    allowed: Iterable[StatusCode]
    seed: int
    seconds: float


def plan(only: str | None, seed: int, seconds: float | None = None) -> Plan:
    """Return the faults of a run: those of a suite, or the named ones, or all, shuffled, again and again.

    Args:
        only: The name of a suite, or names of faults, separated by commas; None for all faults.
        seed: The source of all that is drawn.
        seconds: How long the run lasts. By default, a suite runs to its end, and others five minutes.

    Raises:
        click.BadParameter: A name is unknown.
    """
    if only in _SUITES:
        allowed = {StatusCode.UNAVAILABLE} if only == "stops" else RETRIED
        return Plan(iter(_SUITES[only]), allowed, seed, seconds or math.inf)
    names = only.split(",") if only else list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; accepted: {', '.join([*_SUITES, *FAULTS])}")
    draw = Random(seed)
    return Plan(chain.from_iterable(_shuffled(names, draw) for _ in repeat(None)), RETRIED, seed, seconds or _SECONDS)


def _shuffled(names: Sequence[str], draw: Random) -> list[str]:
    return draw.sample(names, len(names))
