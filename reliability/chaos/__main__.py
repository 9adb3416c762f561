"""`make chaos`: `python -m reliability.chaos`. Ends with status 1 if anything was that must not be."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import click

from bench.resources import create_resources
from reliability.chaos.checks import Audit
from reliability.chaos.client import Client, Gate, Notes
from reliability.chaos.clients import Batcher, GoalSetter, Pager, Places, Reader, Writer
from reliability.chaos.followers import Follower
from reliability.chaos.ledger import Entry
from reliability.chaos.plan import Plan, plan
from reliability.chaos.retention import Retention
from reliability.chaos.run import Outcome, Run
from reliability.chaos.world import World, new_world
from reliability.options import Duration, new_seed
from reliability.running import run_until_signal
from reliability.table import table

_BUILD = Path("build")
_FACTORIES = 3
_WARM_UP_SECONDS = 3
_GOALS = "SELECT id::text, sprocket_production_goal FROM factory"
_NOTHING = Entry(0, 0, 0, 0)


@click.command()
@click.option("--duration", type=Duration(), help="How long: 60s, 5m (the default), 8h. A suite runs to its end.")
@click.option("--seed", type=int, help="The seed of an earlier run, to draw the same faults.")
@click.option("--only", help="The suite stops or database, or names of faults, separated by commas.")
def main(duration: float | None, seed: int | None, only: str | None) -> None:
    """Break a server and its database again and again under load, and check what clients were promised."""
    seed = new_seed() if seed is None else seed
    _BUILD.mkdir(exist_ok=True)
    log = _BUILD / f"chaos-{seed}.log"
    log.unlink(missing_ok=True)
    click.echo(f"seed {seed}; the server logs to {log}")
    outcomes: list[Outcome] = []
    try:
        run_until_signal(_run(plan(only, seed, duration), log, outcomes))
    finally:
        click.echo("\n" + _summary(outcomes))
    if wrong := sum(len(outcome.problems) for outcome in outcomes):
        sys.exit(f"{wrong} problems; make chaos SEED={seed} repeats the faults")


async def _run(chosen: Plan, log: Path, outcomes: list[Outcome]) -> None:
    """Let the faults happen, and add what comes of each."""
    async with new_world(log) as world, _clients_of(world, chosen) as run:
        deadline = time.monotonic() + chosen.seconds
        for name in chosen.faults:
            outcomes.append(outcome := await run.inflict(name))
            _tell(outcome, chosen.seed)
            if time.monotonic() > deadline:
                break


@asynccontextmanager
async def _clients_of(world: World, chosen: Plan) -> AsyncIterator[Run]:
    """Let clients use the service until the block ends."""
    resources = await asyncio.to_thread(create_resources, world.server.address, _FACTORIES)
    world.factory_ids = resources.factory_ids
    notes, gate = Notes(), Gate()
    notes.ledger.goals = {each: [goal] for each, goal in await world.query(_GOALS)}
    clients = _clients(world.address, notes, Places(resources.factory_ids, resources.sprocket_type_id), chosen.seed)
    starts: dict[str, dict[int, int]] = {each: {} for each in resources.factory_ids}
    followers = _followers(world.address, notes, starts, chosen.seed)
    audit = Audit(world, notes.ledger, followers, dict.fromkeys(resources.factory_ids, _NOTHING))
    run = Run(world, notes, gate, clients, followers, audit, chosen)
    retention = Retention(world, audit.last, starts, chosen.seed)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run(gate)) for each in [*clients, *followers]]
        tasks.append(group.create_task(retention.run()))
        await asyncio.sleep(_WARM_UP_SECONDS)
        run.pace.add(notes.calls.take())
        yield run
        click.echo(retention.summary())
        for task in tasks:
            task.cancel()


def _clients(address: str, notes: Notes, places: Places, seed: int) -> list[Client]:
    def drawn(name: str) -> Random:
        return Random(f"{seed} {name}")

    making = [(Writer, "writer 1"), (Writer, "writer 2"), (Writer, "writer 3"), (Batcher, "batcher")]
    making.append((GoalSetter, "goal setter"))
    reading = [(Reader, "reader 1"), (Reader, "reader 2"), (Pager, "pager")]
    return [
        *(kind(name, address, notes, drawn(name), places) for kind, name in making),
        *(kind(name, address, notes, drawn(name)) for kind, name in reading),
    ]


def _followers(address: str, notes: Notes, starts: Mapping[str, Mapping[int, int]], seed: int) -> list[Follower]:
    factory_ids = list(starts)
    followed = [*([factory_id] for factory_id in factory_ids), factory_ids[:1], factory_ids, factory_ids]
    return [
        Follower(f"follower {n}", address, notes, Random(f"{seed} follower {n}"), ids, starts)
        for n, ids in enumerate(followed)
    ]


def _tell(outcome: Outcome, seed: int) -> None:
    now = f"{datetime.now(UTC):%H:%M:%S}"
    click.echo(
        f"{now}  {outcome.fault:30}  outage {outcome.outage:4.1f} s  recovery {outcome.recovery:4.1f} s"
        f"  pace {outcome.scale:.1f}"
        f"  {'ok' if not outcome.problems else 'PROBLEMS'}"
    )
    for problem in outcome.problems:
        click.echo(f"  seed {seed}, {now}: {problem}", err=True)


def _summary(outcomes: Sequence[Outcome]) -> str:
    by_name: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_name[outcome.fault].append(outcome)
    rows = [
        (
            name,
            len(each),
            f"{max(one.outage for one in each):.1f} s",
            f"{max(one.recovery for one in each):.1f} s",
            sum(len(one.problems) for one in each),
        )
        for name, each in sorted(by_name.items())
    ]
    return table([("fault", "times", "longest outage", "longest recovery", "problems"), *rows])


if __name__ == "__main__":
    main()
