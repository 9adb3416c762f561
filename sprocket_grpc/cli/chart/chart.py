"""A factory's chart in memory: what is drawn, and what it says."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sprocket.v1.factory_pb2 import FactoryChart
from sprocket_grpc.cli.chart.times import SECOND, for_people, to_datetime

# A curve that ended at its last entry would not show what came in force then.
_TAIL = 20


class Entry(NamedTuple):
    """What holds from a time on.

    Attributes:
        time_micros: The time, in microseconds since 1970.
        goal: The production goal, in sprockets.
        actual: The number of sprockets recorded.
    """

    time_micros: int
    goal: int
    actual: int

    @property
    def gap(self) -> str:
        """How far the actual is from the goal, in words."""
        difference = self.actual - self.goal
        if not difference:
            return "on goal"
        return f"{abs(difference):,} {'ahead' if difference > 0 else 'behind'}"

    @property
    def summary(self) -> str:
        """All that holds, in words."""
        return f"actual {self.actual:,} of goal {self.goal:,}: {self.gap}"

    @property
    def headline(self) -> str:
        """All that holds, and since when, in words."""
        return f"{self.summary}, last changed {for_people(self.time_micros)}"


@dataclass
class Chart:
    """Entries in columns of equal length, oldest first; a value holds until the next entry.

    Attributes:
        time_micros: When each was added, in microseconds since 1970.
        goal: The production goal from then on, in sprockets.
        actual: The number of sprockets recorded from then on.
    """

    time_micros: list[int] = field(default_factory=list)
    goal: list[int] = field(default_factory=list)
    actual: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.time_micros)

    @property
    def columns(self) -> tuple[list[int], list[int], list[int]]:
        """All three columns."""
        return self.time_micros, self.goal, self.actual

    @property
    def last(self) -> Entry:
        """The entry that is in force."""
        return Entry(self.time_micros[-1], self.goal[-1], self.actual[-1])

    def extend(self, stretch: FactoryChart) -> None:
        """Add the next entries."""
        self.time_micros.extend(stretch.time_micros)
        self.goal.extend(stretch.sprocket_production_goal)
        self.actual.extend(stretch.sprocket_production_actual)

    def in_force_from(self, start: int) -> "Chart":
        """Return the entries that are in force at a time or later; the first of them may be older."""
        first = max(bisect_right(self.time_micros, start) - 1, 0)
        return Chart(*(column[first:] for column in self.columns)) if first else self

    def clamped(self, start: int) -> "Chart":
        """Return entries that begin no earlier than a time."""
        return Chart([max(each, start) for each in self.time_micros], self.goal, self.actual)

    def thinned(self, parts: int) -> "Chart":
        """Return a selection that looks the same.

        Of each of so many equally long parts of the time it has the first and the last entry and those with the least
        and the greatest values: six entries at most.
        """
        if len(self) <= 6 * parts:
            return self
        start = self.time_micros[0]
        length = (self.time_micros[-1] - start) // parts + 1
        kept: set[int] = set()
        for _, group in groupby(range(len(self)), lambda index: (self.time_micros[index] - start) // length):
            kept.update(self._telling(list(group)))
        return self._selected(sorted(kept))

    def _telling(self, indices: Sequence[int]) -> Iterable[int]:
        yield from (indices[0], indices[-1])
        for values in (self.goal, self.actual):
            yield from (min(indices, key=values.__getitem__), max(indices, key=values.__getitem__))

    def _selected(self, indices: Sequence[int]) -> "Chart":
        return Chart(*([values[index] for index in indices] for values in self.columns))


class Drawing(NamedTuple):
    """What is to be drawn.

    Attributes:
        title: The display name of the factory.
        headline: What holds now, in words.
        chart: At least one entry; the first is not before the start.
        start: Where the time axis begins, in microseconds since 1970.
        end: Where it ends.
    """

    title: str
    headline: str
    chart: Chart
    start: int
    end: int

    @property
    def corners(self) -> tuple[list[int], list[int], list[int]]:
        """The corners of the curves, which go up and down only at entries: times, goals and actuals of equal length."""
        times, goal, actual = ([each for each in column for _ in range(2)] for column in self.chart.columns)
        return [*times[1:], self.end], goal, actual

    @property
    def time_label(self) -> str:
        """What the time axis shows, in words."""
        first, last = (f"{to_datetime(each):%Y-%m-%d}" for each in (self.start, self.end))
        return f"time (UTC), {first}" + (f" to {last}" if last != first else "")

    def thinned(self, parts: int) -> "Drawing":
        """Return one that looks the same, with at most six entries in each of so many parts."""
        return self._replace(chart=self.chart.thinned(parts))


def drawing(title: str, chart: Chart, start: int | None, now: int) -> Drawing:
    """Cut out what is to be drawn.

    Args:
        title: The display name of the factory.
        chart: Its chart.
        start: Where to begin, in microseconds since 1970, and then up to now. All of the chart if None.
        now: The present time. Entries after it, by another clock, are drawn all the same.
    """
    if start is None:
        first = chart.time_micros[0]
        return Drawing(title, chart.last.headline, chart, first, _end(first, chart.time_micros[-1], now))
    end = max(now, chart.time_micros[-1] + 1, start + 1)
    return Drawing(title, chart.last.headline, chart.in_force_from(start).clamped(start), start, end)


def _end(first: int, last: int, now: int) -> int:
    """Return where to end after all entries: a little later, so that the last can be seen, but not in the future."""
    if first == last:
        return max(now, last + SECOND)
    return max(last + 1, min(now, last + (last - first) // _TAIL))
