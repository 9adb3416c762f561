"""Which faults `make chaos` draws."""

from itertools import islice

import click
import pytest
from grpc import StatusCode

from reliability.chaos.faults import FAULTS
from reliability.chaos.plan import plan


def test_the_same_seed_draws_the_same_faults_and_each_one_before_any_comes_again() -> None:
    first, second, other = (list(islice(plan(None, seed).faults, 2 * len(FAULTS))) for seed in (1, 1, 2))
    assert first == second != other
    assert set(first[: len(FAULTS)]) == set(first[len(FAULTS) :]) == set(FAULTS)


def test_faults_can_be_named() -> None:
    assert set(islice(plan("kill-server,lock-factory", 1).faults, 10)) == {"kill-server", "lock-factory"}


def test_the_suite_of_stops_allows_unavailable_only() -> None:
    stops = plan("stops", 1)
    assert list(stops.faults) == ["stop-server"] * 50
    assert set(stops.allowed) == {StatusCode.UNAVAILABLE}


def test_the_suite_of_the_database_has_a_hundred_restarts_kills_and_resets() -> None:
    faults = list(plan("database", 1).faults)
    assert {name: faults.count(name) for name in set(faults)} == {
        "restart-postgres-fast": 100,
        "kill-postgres": 100,
        "reset-database": 100,
    }


def test_an_unknown_fault_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(click.BadParameter, match=r"unknown: earthquake; accepted: stops, database, kill-server, "):
        plan("kill-server,earthquake", 1)
