"""Shows which changes of the core its tests notice: `python -m reliability.mutate`. See docs/reliability.md."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from reliability.mutate.choice import chosen_tests
from reliability.mutate.mutants import Mutant, core_files, draw, mutants_of
from reliability.mutate.trial import Copy, Outcome, copy_of
from reliability.options import Duration, new_seed
from sprocket_grpc.testing.postgres import temporary_postgres

_ROOT = Path(__file__).parents[2]


@click.command()
@click.option("--seed", type=int, help="Draw the mutants of this seed. Default: a new one.")
@click.option("--sample", default=20, show_default=True, help="How many mutants to try.")
@click.option("--only", default="", help="Only files whose path contains one of these, such as slots,storage/postgres.")
@click.option("--limit", type=Duration(), default="15m", show_default=True, help="The longest time for a mutant.")
@click.option("--list", "is_list", is_flag=True, help="Show the mutants and their tests, and try none.")
def main(*, seed: int | None, sample: int, only: str, limit: float, is_list: bool) -> None:
    """Try a sample of mutants, and say which are noticed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and end what runs, as Ctrl-C does
    seed = new_seed() if seed is None else seed
    files = [each for each in core_files(_ROOT) if any(part in str(each) for part in only.split(","))]
    if not files:
        raise click.BadParameter(f"no module of the core has this in its path: {only}", param_hint="--only")
    mutants = [mutant for file in files for mutant in mutants_of(_ROOT, file)]
    drawn = draw(mutants, sample, seed)
    click.echo(f"SEED={seed}: {len(drawn)} of the {len(mutants)} mutants of {len(files)} files")
    if is_list:
        for mutant in drawn:
            click.echo(f"{mutant}\n  {' '.join(map(str, chosen_tests(_ROOT, mutant.path, mutant.kind)))}")
        return
    with copy_of(_ROOT) as folder, temporary_postgres() as postgres:
        outcomes = _try_all(Copy(folder, postgres, limit), drawn)
    click.echo(f"\n{share(outcomes)}, SEED={seed}")


def _try_all(copy: Copy, mutants: Sequence[Mutant]) -> list[Outcome]:
    outcomes = []
    for number, mutant in enumerate(mutants, 1):
        result = copy.try_mutant(mutant, chosen_tests(copy.root, mutant.path, mutant.kind))
        by = f", by {result.test}" if result.test else ""
        click.echo(f"\n{number} {result.outcome.value} in {result.seconds:.0f} s{by}\n{mutant}")
        outcomes.append(result.outcome)
    return outcomes


def share(outcomes: Sequence[Outcome]) -> str:
    """Say how many were noticed, of those of which the tests said something."""
    noticed, unclear = outcomes.count(Outcome.NOTICED), outcomes.count(Outcome.UNCLEAR)
    told = len(outcomes) - unclear
    percent = f" ({noticed / told:.0%})" if told else ""
    return f"{noticed} of {told} noticed{percent}, {unclear} unclear"


if __name__ == "__main__":
    main()
