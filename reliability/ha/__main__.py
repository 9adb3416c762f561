"""`make ha`: `python -m reliability.ha`. Ends with status 1 if anything was that must not be."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import click

from bench.resources import create_resources
from reliability.chaos.checks import Audit
from reliability.chaos.client import Client, Gate, Notes
from reliability.chaos.clients import Batcher, GoalSetter, Places, Reader, Writer
from reliability.chaos.followers import Follower
from reliability.chaos.ledger import Entry
from reliability.ha.events import EVENTS
from reliability.ha.programs import MissingProgramError, Programs, find_programs
from reliability.ha.run import Outcome, Run
from reliability.ha.show import show
from reliability.ha.watch import HealthWatch
from reliability.ha.world import World, new_world
from reliability.options import new_seed
from reliability.running import run_until_signal
from reliability.table import table
from sprocket_grpc.storage.embedded.errors import EmbeddedDatabaseError

_BUILD = Path("build")
_FACTORIES = 2
_WARM_UP_SECONDS = 3
_GOALS = "SELECT id::text, sprocket_production_goal FROM factory"
_NOTHING = Entry(0, 0, 0, 0)


@click.command()
@click.option("--patroni", type=click.Path(path_type=Path), required=True, help="The virtual environment of Patroni.")
@click.option("--show", "is_shown", is_flag=True, help="Run the cluster until Ctrl-C, and tell how to break it.")
@click.option("--only", help=f"Names of events, separated by commas: {', '.join(EVENTS)}.")
def main(patroni: Path, only: str | None, *, is_shown: bool) -> None:
    """Let the nodes of a cluster fail one after another under load, and check what clients were promised."""
    names = _chosen(only)
    try:
        programs = find_programs(patroni)
    except (MissingProgramError, EmbeddedDatabaseError) as error:
        click.echo(f"skipped: {error}")
        return
    _BUILD.mkdir(exist_ok=True)
    log = _BUILD / "ha.log"
    log.unlink(missing_ok=True)
    if is_shown:
        run_until_signal(_show(programs, log))
        return
    outcomes: list[Outcome] = []
    try:
        run_until_signal(_run(programs, names, log, outcomes))
    finally:
        click.echo("\n" + _summary(outcomes))
    if wrong := sum(len(outcome.problems) for outcome in outcomes):
        sys.exit(f"{wrong} problems")


def _chosen(only: str | None) -> Sequence[str]:
    names = only.split(",") if only else list(EVENTS)
    if unknown := [name for name in names if name not in EVENTS]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; accepted: {', '.join(EVENTS)}")
    return names


async def _run(programs: Programs, names: Sequence[str], log: Path, outcomes: list[Outcome]) -> None:
    """Let the events happen, and add what comes of each."""
    async with new_world(programs, log) as world, _clients_of(world) as run:
        for name in names:
            outcomes.append(outcome := await run.inflict(name))
            _tell(outcome)


async def _show(programs: Programs, log: Path) -> None:
    async with new_world(programs, log) as world, _clients_of(world) as run:
        await show(world, next(iter(run.audit.last)))


@asynccontextmanager
async def _clients_of(world: World) -> AsyncIterator[Run]:
    """Let clients use the service until the block ends."""
    run = await _prepared(world)
    async with asyncio.TaskGroup() as group:
        clients = [*run.writers, *run.readers, *run.followers]
        tasks = [group.create_task(work) for work in [*(each.run(run.gate) for each in clients), run.health.run()]]
        await asyncio.sleep(_WARM_UP_SECONDS)
        yield run
        for task in tasks:
            task.cancel()


async def _prepared(world: World) -> Run:
    """Create what is written to, and the clients."""
    address, notes, draw = world.server.address, Notes(), Random(new_seed())
    resources = await asyncio.to_thread(create_resources, address, _FACTORIES)
    notes.ledger.goals = {each: [goal] for each, goal in await world.query(_GOALS)}
    ids = resources.factory_ids
    writers = _writers(address, notes, draw, Places(ids, resources.sprocket_type_id))
    readers = [Reader(f"reader {n}", address, notes, draw) for n in (1, 2)]
    followers = [Follower(f"follower {n}", address, notes, draw, each) for n, each in enumerate([ids[:1], ids, ids])]
    audit = Audit(world, notes.ledger, followers, dict.fromkeys(ids, _NOTHING))
    return Run(world, notes, Gate(), writers, readers, followers, audit, HealthWatch(address))


def _writers(address: str, notes: Notes, draw: Random, places: Places) -> list[Client]:
    kinds = [(Writer, "writer 1"), (Writer, "writer 2"), (Batcher, "batcher"), (GoalSetter, "goal setter")]
    return [kind(name, address, notes, draw, places) for kind, name in kinds]


def _row(outcome: Outcome) -> tuple[str, ...]:
    noticed = "never" if outcome.noticed is None else f"{outcome.noticed:.1f} s"
    return (
        outcome.event,
        f"{outcome.outage:.1f} s",
        f"{outcome.reads:.1f} s",
        noticed,
        f"{outcome.healthy:.1f} s",
        f"{outcome.whole:.1f} s",
        str(len(outcome.problems)),
    )


def _tell(outcome: Outcome) -> None:
    click.echo("  ".join(f"{cell:>14}" for cell in _row(outcome)))
    for problem in outcome.problems:
        click.echo(f"  {problem}", err=True)


def _summary(outcomes: Sequence[Outcome]) -> str:
    heading = ("event", "no write", "no read", "ill after", "healthy after", "whole after", "problems")
    return table([heading, *map(_row, outcomes)])


if __name__ == "__main__":
    main()
