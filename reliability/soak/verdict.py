"""Whether what a server uses stays as it is: the slope of the samples after a warm-up."""

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from reliability.soak.samples import Sample

WARM_UP_SECONDS = 300
"""Caches fill, pools open and Python's allocator grows until then. It is at most half of a run."""

_MOST_SAMPLES = 200
"""The slope goes through all pairs of samples: of more, only every second, third and so on is used."""

_JUDGED = {"resident": 4.0, "proportional": 4.0, "descriptors": 5.0, "connections": 5.0, "threads": 2.0}
_JUDGED |= {"streams": 3.0, "backends": 2.0, "postgres": 10.0}
"""How much each may grow in absolute terms from the warm-up to the end: noise, and for memory also fragmentation."""

_SHARE = 0.03
"""The same, as a share of what is used."""


class Trend(NamedTuple):
    """How something developed.

    Attributes:
        name: What.
        level: Its median after the warm-up.
        growth: By how much it grew from the warm-up to the end, by the median slope of all pairs of samples.
        allowed: By how much it may.
    """

    name: str
    level: float
    growth: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Whether it grew by no more than it may."""
        return self.growth <= self.allowed


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Judge the samples after the warm-up.

    Raises:
        ValueError: There are fewer than two.
    """
    steady = after_warm_up(samples)
    span = steady[-1].seconds - steady[0].seconds
    found = []
    for name in Sample.names():
        values = [(each.seconds, float(getattr(each, name))) for each in steady]
        level = median(value for _, value in values)
        found.append(Trend(name, level, _slope(values) * span, _JUDGED[name] + _SHARE * level))
    return found


def after_warm_up(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples after the warm-up, downsampled to a number for which the slope can be computed."""
    begins = min(WARM_UP_SECONDS, samples[-1].seconds / 2)
    steady = [each for each in samples if each.seconds >= begins]
    return steady[:: len(steady) // _MOST_SAMPLES + 1]


def _slope(values: Sequence[tuple[float, float]]) -> float:
    """Return the median slope (Theil-Sen), which single outliers do not change."""
    return median((late - early) / (then - now) for (now, early), (then, late) in combinations(values, 2))
