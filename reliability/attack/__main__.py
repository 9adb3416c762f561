"""Attacks a server in each way that SECURITY.md names: `python -m reliability.attack`. See docs/reliability.md."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from reliability.attack import arrival, connections, expensive, issuer, strangers, streams
from reliability.attack.data import Data
from reliability.attack.stage import Measure, Stage
from reliability.options import Duration
from reliability.table import table
from sprocket_grpc.testing.postgres import migrated_database, temporary_postgres

ATTACKS: Mapping[str, Callable[[Stage], AsyncIterator[Measure]]] = {
    "handshakes": connections.handshakes,
    "unfinished": arrival.unfinished,
    "uploads": arrival.uploads,
    "headers": arrival.headers,
    "halves": arrival.halves,
    "watches": streams.watches,
    "unread": streams.unread,
    "charts": streams.charts,
    "counts": expensive.counts,
    "points": expensive.points,
    "flood": strangers.flood,
    "issuer": issuer.issuer,
    "malformed": strangers.malformed,
    "bombs": strangers.bombs,
    "pings": connections.pings,
}

_PATIENT = {"pings"}
"""The attacks that take a minute and no CPU: they run beside all others."""


def _chosen(_context: click.Context, _option: click.Parameter, value: str | None) -> list[str]:
    names = value.split(",") if value else list(ATTACKS)
    if unknown := [name for name in names if name not in ATTACKS]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; accepted: {', '.join(ATTACKS)}")
    return names


@click.command()
@click.option("--only", callback=_chosen, help=f"Attacks, separated by commas: {', '.join(ATTACKS)}.")
@click.option("--duration", type=Duration(), default="5s", show_default=True, help="How long each attack lasts.")
def main(*, only: list[str], duration: float) -> None:
    """Attack a new server in one way after the other, and fail if it exceeds a bound."""
    rows: list[tuple[object, ...]] = [("attack", "measured", "value", "bound", "")]
    with temporary_postgres() as postgres, migrated_database(postgres) as url, ThreadPoolExecutor() as threads:
        data = Data(url)
        running = {name: threads.submit(_run, name, url, data, duration) for name in only if name in _PATIENT}
        for name in only:
            begin = time.monotonic()
            measures = running[name].result() if name in running else _run(name, url, data, duration)
            rows += [(name, *_cells(measure)) for measure in measures]
            click.echo(f"{name}: {time.monotonic() - begin:.0f} s", err=True)
    click.echo(table(rows))
    sys.exit(any(row[-1] == "FAILED" for row in rows))


def _run(name: str, url: str, data: Data, seconds: float) -> list[Measure]:
    """Run an attack in a thread of its own, since it lowers the priority of its thread for good."""

    async def measures() -> list[Measure]:
        return [measure async for measure in ATTACKS[name](Stage(url, data, seconds, Path(folder)))]

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, measures()).result()


def _cells(measure: Measure) -> tuple[object, ...]:
    verdict = "ok" if measure.is_met else "FAILED"
    return (measure.what, f"{measure.value:,.0f} {measure.unit}", f"{measure.bound:,.0f}", verdict)


if __name__ == "__main__":
    main()
