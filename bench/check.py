"""Fails if the point read is slower than the baseline: `python -m bench.check`; --accept writes a new baseline.

Compares the CPU per call, as a ratio to the floor in the same run, with the ratio in baseline.json. The median of many
short alternating rounds is stable on a busy machine, because other processes slow down both.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click

from bench.contenders import FLOOR, SERVICE, in_turns
from bench.database import fresh_postgres
from bench.processes import running
from bench.reads import get_contenders, open_readers
from bench.report import Progress

_BASELINE = Path(__file__).parent / "baseline.json"
_KEY = "GetFactory, CPU per call as a ratio to the floor"

# The check must detect a slow-down of 20 % and must not fail on noise: the median varies by about 3 %.
_ALLOWED = 1.1


@click.command()
@click.option("--accept", is_flag=True, help="Write the ratio of this run to the baseline.")
@click.option("--rounds", type=click.IntRange(3), default=11, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.2), default=1.5, show_default=True, help="Per contender and round.")
def main(*, accept: bool, rounds: int, seconds: float) -> None:
    """Compare the point read with the baseline."""
    ratios = sorted(_ratios(rounds, seconds))
    ratio = median(ratios)
    measured = f"{_KEY}: {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {rounds} rounds)"
    if accept:
        _BASELINE.write_text(json.dumps({_KEY: round(ratio, 3)}, indent=2) + "\n")
        click.echo(f"{measured}; written as the new baseline")
        return
    baseline = json.loads(_BASELINE.read_text())[_KEY]
    change = f"{ratio / baseline - 1:+.0%} from the baseline of {baseline:.2f}"
    if ratio > baseline * _ALLOWED:
        raise click.ClickException(
            f"{measured}: {change}. The point read is slower. To accept this: python -m bench.check --accept"
        )
    click.echo(f"{measured}: {change}; up to {_ALLOWED - 1:+.0%} counts as noise")


def _ratios(rounds: int, seconds: float) -> list[float]:
    progress = Progress()
    with ExitStack() as until_the_end:
        with progress.step("starting PostgreSQL, this service and the floor"):
            postgres = until_the_end.enter_context(fresh_postgres())
            service, [factory_id] = until_the_end.enter_context(open_readers(postgres, 1))
            floor = until_the_end.enter_context(running("bench.floor", "127.0.0.1:0"))
            contenders = get_contenders(service, floor, factory_id)
        runs = in_turns(contenders, postgres, rounds, seconds, progress)
    pairs = zip(runs[SERVICE], runs[FLOOR], strict=True)
    return [ours.server_micros / least.server_micros for ours, least in pairs]


if __name__ == "__main__":
    main()
