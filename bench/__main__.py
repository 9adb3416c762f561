"""Measures all scenarios, or those named with --only: `python -m bench`. Runs against one new PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import click

from bench import (
    access,
    calls,
    changes,
    charts,
    imports,
    kills,
    overload,
    peers,
    pooling,
    processes,
    reads,
    starts,
    telemetry,
    web,
    writes,
)
from bench.database import fresh_postgres
from bench.load import NO_H2LOAD, CannotBeMeasuredError, has_h2load
from bench.plan import QUICK, Bench, Plan
from bench.report import Figure, Progress, report

_SCENARIOS: Mapping[str, Callable[[Bench], Iterator[Figure]]] = {
    "imports": imports.measure_imports,  # first, while there are no other sprockets to export
    "get": reads.measure_get,
    "list": reads.measure_list,
    "pages": reads.measure_pages,
    "create": writes.measure_create,
    "creates": writes.measure_creates,
    "batch": writes.measure_batch,
    "calls": calls.measure_calls,
    "chart": charts.measure_chart,
    "memory": charts.measure_chart_memory,
    "followers": charts.measure_followers,
    "workers": starts.measure_workers,
    "start": starts.measure_start,
    "telemetry": telemetry.measure_telemetry,
    "access": access.measure_access,
    "web": web.measure_web,
    "pooler": pooling.measure_pooler,
    "overload": overload.measure_overload,
    "fairness": overload.measure_fairness,
    "kill": kills.measure_kill,
    "changes": changes.measure_changes,
    "peers": peers.measure_peers,
}


def _measured(name: str, bench: Bench) -> Iterator[Figure]:
    try:
        yield from _SCENARIOS[name](bench)
    except CannotBeMeasuredError as error:
        yield Figure(name, "", [], "-", [], missing=str(error))


def _chosen(_context: click.Context, _option: click.Parameter, value: str | None) -> list[str]:
    names = value.split(",") if value else list(_SCENARIOS)
    if unknown := [name for name in names if name not in _SCENARIOS]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; accepted: {', '.join(_SCENARIOS)}")
    return names


@click.command()
@click.option("--only", callback=_chosen, help=f"Scenarios, separated by commas: {', '.join(_SCENARIOS)}.")
@click.option("--quick", is_flag=True, help="Run shorter measurements, in six minutes.")
@click.option("--rounds", type=click.IntRange(1), help="The number of rounds in which the contenders take turns.")
def main(*, only: list[str], quick: bool, rounds: int | None) -> None:
    """Measure this service against a bare gRPC server, a FastAPI service with an ORM, and PostgreSQL alone."""
    plan = QUICK if quick else Plan()
    plan = replace(plan, rounds=rounds or plan.rounds)
    progress = Progress()
    with ExitStack() as until_the_end:
        with progress.step("starting PostgreSQL"):
            postgres = until_the_end.enter_context(fresh_postgres())
        figures = [figure for name in only for figure in _measured(name, Bench(postgres, plan, progress))]
        version = processes.run(postgres.programs / "postgres", "--version").split()[-1]
    load = "h2load" if has_h2load() else f"a Python client ({NO_H2LOAD})"
    report("bench", figures, {"PostgreSQL": version, "load": load, "rounds": plan.rounds, "quick": quick})


if __name__ == "__main__":
    main()
