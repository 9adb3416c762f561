"""Short runs of `make chaos` and `make soak` against real processes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from reliability.database import new_database
from reliability.methods import methods_on
from reliability.soak import activities
from reliability.soak.run import Soak, server_with_keys
from reliability.soak.samples import Sample
from reliability.soak.strangers import STRANGERS
from reliability.soak.user import Stock
from tests.support.cable import only_on_linux

pytestmark = [pytest.mark.slow, only_on_linux]

PATIENCE_SECONDS = 100


def test_chaos_tells_its_seed_its_faults_and_no_problem(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reliability.chaos", "--duration", "3s", "--only", "lock-factory", "--seed", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 1; the server logs to build/chaos-1.log\n")
    assert "lock-factory" in done.stdout.splitlines()[-1]


@pytest.fixture
def stock() -> Stock:
    return Stock()


@pytest.fixture
def soak(tmp_path: Path, stock: Stock) -> Iterator[Soak]:
    with new_database() as database, server_with_keys(database, tmp_path / "log", stock) as server:
        yield Soak(database, server, stock, Random(1))


async def test_the_soak_calls_every_method_and_none_ends_as_none_may(
    soak: Soak, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "_SPROCKETS", 20)  # from then on they are deleted
    monkeypatch.setattr(activities, "_LONGEST_FOLLOW_SECONDS", 1)
    users = await soak.users()
    for activity in [*activities.ACTIVITIES, *STRANGERS] * 3:  # which kind of resource is used is drawn
        await asyncio.gather(*(activity(user) for user in users))
    assert set(methods_on(users[0].channel)) - {method for method, _ in stock.statuses} == set()
    assert stock.problems == []


async def test_the_soak_samples_what_the_processes_use(soak: Soak) -> None:
    told: list[Sample] = []
    await soak.run(3, told.append)
    assert told == soak.samples != []
    assert all(getattr(told[-1], name) > 0 for name in set(Sample.names()) - {"streams"})
