"""Measures charts: `python -m bench.chart`. All on this machine, with one service and one PostgreSQL, both fresh."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import click

from bench import processes
from bench.chart_followers import measure_idle, measure_latency
from bench.chart_stream import ChartReader, measure_memory, measure_stream
from bench.database import Postgres, fill_chart, fresh_postgres
from bench.processes import serving
from bench.report import Figure, Progress, report
from bench.resources import create_resources

_FOLLOWERS = 1000


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        entries: In the chart whose stream is timed; memory is watched over ten times as many.
        rounds: How often the stream and what it is compared with are timed.
        idle_rounds: How often followers are watched.
        idle_seconds: For how long each time: a multiple of the 10 s after which followers get a sign of life.
        latencies: Of how many changes a follower is to hear.
    """

    entries: int = 1_000_000
    rounds: int = 5
    idle_rounds: int = 5
    idle_seconds: float = 20
    latencies: int = 100


_QUICK = Plan(entries=100_000, rounds=3, idle_rounds=1, idle_seconds=10, latencies=20)


@click.command()
@click.option("--quick", is_flag=True, help="Measure less of everything, within a minute: to see that it works.")
@click.option("--entries", type=click.IntRange(1), help="Of the timed chart. Memory: ten times as many.")
@click.option("--rounds", type=click.IntRange(1), help="Of everything that is compared in turns.")
def main(*, quick: bool, entries: int | None, rounds: int | None) -> None:
    """Measure the streams of charts against psql's COPY and against what is promised.

    A fresh PostgreSQL is used, which is not durable: nothing that is timed waits for a disk.
    """
    plan = _QUICK if quick else Plan()
    plan = replace(plan, entries=entries or plan.entries)
    if rounds:
        plan = replace(plan, rounds=rounds, idle_rounds=rounds)
    progress = Progress()
    with ExitStack() as until_the_end:
        with progress.step("starting PostgreSQL"):
            postgres = until_the_end.enter_context(fresh_postgres())
        figures = list(_measure(postgres, plan, progress))
        version = processes.run(postgres.programs / "postgres", "--version").split()[-1]
    conditions = {"PostgreSQL": version, "durable": False, "rounds": plan.rounds, "quick": quick}
    report("chart", figures, conditions)


def _measure(postgres: Postgres, plan: Plan, progress: Progress) -> Iterator[Figure]:
    with serving(postgres.url) as server:
        with progress.step(f"creating {_FOLLOWERS:,} factories to follow, and two with long charts"):
            resources = create_resources(server.address, _FOLLOWERS + 2)
        timed, large, *followed = resources.factory_ids
        fill_chart(postgres, timed, plan.entries, progress)
        reader = ChartReader(server, postgres, timed, plan.entries)
        yield from measure_stream(reader, plan.rounds, progress)
        yield from measure_idle(server, postgres, followed, plan.idle_rounds, plan.idle_seconds, progress)
        yield from measure_latency(server, followed[0], resources.sprocket_type_id, plan.latencies, progress)
    fill_chart(postgres, large, 10 * plan.entries, progress)
    with serving(postgres.url) as fresh:
        yield from measure_memory(fresh, ChartReader(fresh, postgres, large, 10 * plan.entries), progress)


if __name__ == "__main__":
    main()
