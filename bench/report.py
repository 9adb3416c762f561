"""Prints measurements as a table and writes them as JSON; every figure is a ratio to a named reference."""

import json
import math
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import ge, gt, le
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import click

RESULTS = Path(__file__).parent / "results"
"""The directory of the JSON files."""

_HEADINGS = ("what", "measured", "against", "ratio", "target", "met")

_LARGE = 1000

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">": gt, ">=": ge}

_T = TypeVar("_T")


class Target(NamedTuple):
    """A bound for a ratio."""

    comparison: str
    ratio: float

    def is_met_by(self, ratio: float) -> bool:
        """Whether a ratio is within the bound."""
        return _COMPARISONS[self.comparison](ratio, self.ratio)

    def __str__(self) -> str:
        return f"{self.comparison} {self.ratio:g}"


@dataclass(frozen=True)
class Figure:
    """A measurement and its reference.

    Attributes:
        what: The name of the measurement.
        unit: The unit of the measurement and the reference.
        measured: One value per round.
        against: The name of the reference.
        reference: The values of the reference, in the same rounds.
        targets: Bounds for the median of the ratios, from the easiest to the hardest.
        missing: Why the measurement is missing; empty if it is not.
    """

    what: str
    unit: str
    measured: Sequence[float]
    against: str
    reference: Sequence[float]
    targets: Sequence[Target] = ()
    missing: str = ""

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round: other load on the machine affects both values of a round."""
        pairs = zip(self.measured, self.reference, strict=True)
        return [measured / reference if reference else math.inf for measured, reference in pairs]

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        if self.missing:
            return (self.what, f"not measured: {self.missing}", self.against, "-", "-", "-")
        return (
            self.what,
            f"{_spread(self.measured)} {self.unit}",
            f"{self.against}: {_spread(self.reference)}",
            _spread(self.ratios),
            ", then ".join(map(str, self.targets)) or "-",
            ", ".join("yes" if each.is_met_by(median(self.ratios)) else "NO" for each in self.targets) or "-",
        )

    def content(self) -> dict[str, object]:
        """Return the figure as JSON values."""
        if self.missing:
            return asdict(self)
        met = [each.is_met_by(median(self.ratios)) for each in self.targets]
        return asdict(self) | {
            "targets": [each._asdict() for each in self.targets],
            "ratios": self.ratios,
            "ratio": median(self.ratios),
            "met": met,
        }


def _spread(values: Sequence[float]) -> str:
    """Format the median, and in brackets the minimum and the maximum if they differ."""
    low, middle, high = map(_rounded, (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.3g}"


class Progress:
    """Reports the current step on standard error, with a dot for every second."""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Report a step while the block runs, and then its duration."""
        begin, done = time.monotonic(), threading.Event()
        ticking = threading.Thread(target=self._tick, args=[done], daemon=True)
        click.echo(f"{what} ", nl=False, err=True)
        ticking.start()
        try:
            yield
        finally:
            done.set()
            ticking.join()
            click.echo(f" {time.monotonic() - begin:.1f} s", err=True)

    def _tick(self, done: threading.Event) -> None:
        while not done.wait(1):
            click.echo(".", nl=False, err=True)


def interleave(contenders: Mapping[str, Callable[[], _T]], rounds: int, progress: Progress) -> dict[str, list[_T]]:
    """Measure contenders in turns (A B A B ...), so that other load on the machine affects all of them."""
    runs: dict[str, list[_T]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, measure in contenders.items():
            with progress.step(f"{name}, round {number} of {rounds}"):
                runs[name].append(measure())
    return runs


def report(name: str, figures: Sequence[Figure], conditions: Mapping[str, object]) -> None:
    """Print the figures as a table, and write them to bench/results as JSON."""
    rows = [_HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo()
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    conditions = _machine() | dict(conditions)
    click.echo("\nmedian (minimum to maximum) of the rounds; " + ", ".join(f"{k}: {v}" for k, v in conditions.items()))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"conditions": conditions, "table": rows, "figures": [figure.content() for figure in figures]}
    path.write_text(json.dumps(content, indent=2) + "\n")
    click.echo(f"written to {path}")


def _machine() -> dict[str, object]:
    """Describe this machine and its load, which lowers all rates per second of wall-clock time."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load of the last 1, 5 and 15 minutes": f"({load})",
        "Python": platform.python_version(),
    }
