"""`make soak`: `python -m reliability.soak`. Ends with status 1 if anything grows, or a call ended as none may."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import click

from reliability.database import new_database
from reliability.options import Duration, new_seed
from reliability.running import run_until_signal
from reliability.soak.picture import draw
from reliability.soak.run import Soak, server_with_keys
from reliability.soak.samples import Sample
from reliability.soak.user import Stock
from reliability.soak.verdict import Trend, trends
from reliability.table import table

_BUILD = Path("build")
_DURATION_SECONDS = 1200
_LINES = 20
_HEADINGS = ("what", "level", "growth", "allowed", "flat")


@click.command()
@click.option("--duration", type=Duration(), default=_DURATION_SECONDS, help="How long: 20m (the default), 8h.")
@click.option("--seed", type=int, help="The seed of an earlier run.")
@click.option("--picture", type=click.Path(path_type=Path), default=_BUILD / "soak.svg", help="The file to draw.")
def main(duration: float, seed: int | None, picture: Path) -> None:
    """Use a server in every way for a while, and check that what it uses does not grow."""
    seed = new_seed() if seed is None else seed
    log = _BUILD / f"soak-{seed}.log"
    for file in (picture, log):
        file.parent.mkdir(exist_ok=True, parents=True)
    click.echo(f"seed {seed}; the server logs to {log}")
    stock = Stock()
    with new_database() as database, server_with_keys(database, log, stock) as server:
        soak = Soak(database, server, stock, Random(seed))
        run_until_signal(soak.run(duration, _teller(duration)))
    found = trends(soak.samples)
    draw(soak.samples, found, picture)
    click.echo(f"\n{_statuses(stock)}\n\n{_verdict(found)}\n\ndrawn in {picture}")
    if problems := [f"{each.name} grows" for each in found if not each.is_flat] + stock.problems:
        sys.exit("\n".join(problems))


def _teller(seconds: float) -> Callable[[Sample], None]:
    """Return what prints some of the samples."""
    due = 0.0

    def tell(sample: Sample) -> None:
        nonlocal due
        if sample.seconds >= due:
            due = sample.seconds + seconds / _LINES
            values = "  ".join(f"{name} {getattr(sample, name):.0f}" for name in Sample.names())
            click.echo(f"{sample.seconds:6.0f} s  {values}")

    return tell


def _statuses(stock: Stock) -> str:
    rows = [(method, code.name, count) for (method, code), count in stock.statuses.items()]
    return table([("method", "status", "calls"), *sorted(rows)])


def _verdict(found: Sequence[Trend]) -> str:
    rows = [
        (each.name, f"{each.level:.0f}", f"{each.growth:+.1f}", f"{each.allowed:.1f}", "yes" if each.is_flat else "NO")
        for each in found
    ]
    return table([_HEADINGS, *rows])


if __name__ == "__main__":
    main()
