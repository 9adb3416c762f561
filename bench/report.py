"""What was measured, for people and for programs: every figure says what it is a ratio to."""

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
"""Where the JSON is."""

_HEADINGS = ("what", "measured", "against", "ratio", "target", "met")

_LARGE = 1000

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">": gt, ">=": ge}

_T = TypeVar("_T")


class Target(NamedTuple):
    """What a ratio is to be."""

    comparison: str
    ratio: float

    def is_met_by(self, ratio: float) -> bool:
        """Whether a ratio is so."""
        return _COMPARISONS[self.comparison](ratio, self.ratio)

    def __str__(self) -> str:
        return f"{self.comparison} {self.ratio:g}"


@dataclass(frozen=True)
class Figure:
    """What was measured against what.

    Attributes:
        what: What was measured.
        unit: The unit of both.
        measured: One value of each round.
        against: What it is compared with.
        reference: The value of that in the same round.
        targets: What the median of the ratios is to be; the next once the first is met.
        missing: Why nothing was measured, if so.
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
        """Measured to reference, round by round, so that what disturbs a round disturbs both."""
        pairs = zip(self.measured, self.reference, strict=True)
        return [measured / reference if reference else math.inf for measured, reference in pairs]

    def cells(self) -> tuple[str, ...]:
        """Return its row of the table."""
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
        """Return all of it, for programs."""
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
    """Write the median, and in brackets the least and the greatest if there are several."""
    low, middle, high = map(_rounded, (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.3g}"


class Progress:
    """Tells on standard error what is being done, and every second that it still is."""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell of what the block does, and how long it took."""
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
    """Measure contenders in turns (A B A B ...), so that what slows the machine down for a while slows down all."""
    runs: dict[str, list[_T]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, measure in contenders.items():
            with progress.step(f"{name}, round {number} of {rounds}"):
                runs[name].append(measure())
    return runs


def report(name: str, figures: Sequence[Figure], conditions: Mapping[str, object]) -> None:
    """Print the table and its conditions, and write both to bench/results."""
    rows = [_HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo()
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    conditions = _machine() | dict(conditions)
    click.echo("\nmedian (least to greatest) of the rounds; " + ", ".join(f"{k}: {v}" for k, v in conditions.items()))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"conditions": conditions, "table": rows, "figures": [figure.content() for figure in figures]}
    path.write_text(json.dumps(content, indent=2) + "\n")
    click.echo(f"written to {path}")


def _machine() -> dict[str, object]:
    """Say what this machine is, and how busy: what else runs on it makes rates by the clock smaller."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load of the last 1, 5 and 15 minutes": f"({load})",
        "Python": platform.python_version(),
    }
