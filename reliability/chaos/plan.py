"""Which faults come one after another, and which statuses they may have."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from random import Random
from typing import NamedTuple

import click
from grpc import StatusCode

from reliability.chaos.calls import RETRIED
from reliability.chaos.faults import FAULTS

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
    """

    faults: Iterator[str]
    allowed: Iterable[StatusCode]
    seed: int


def plan(only: str | None, seed: int) -> Plan:
    """Return the faults of a run: those of a suite, or the named ones, or all, shuffled, again and again.

    Raises:
        click.BadParameter: A name is unknown.
    """
    if only in _SUITES:
        return Plan(iter(_SUITES[only]), {StatusCode.UNAVAILABLE} if only == "stops" else RETRIED, seed)
    names = only.split(",") if only else list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; accepted: {', '.join([*_SUITES, *FAULTS])}")
    draw = Random(seed)
    return Plan(chain.from_iterable(_shuffled(names, draw) for _ in repeat(None)), RETRIED, seed)


def _shuffled(names: Sequence[str], draw: Random) -> list[str]:
    return draw.sample(names, len(names))
