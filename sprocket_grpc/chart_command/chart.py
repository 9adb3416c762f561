"""A factory's chart in memory: what is drawn, and what it says."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sprocket.v1.factory_pb2 import FactoryChart
from sprocket_grpc.chart_command.times import SECOND

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
    def last(self) -> Entry:
        """The entry that is in force."""
        return Entry(self.time_micros[-1], self.goal[-1], self.actual[-1])

    def extend(self, stretch: FactoryChart) -> None:
        """Add the next entries."""
        self.time_micros.extend(stretch.time_micros)
        self.goal.extend(stretch.sprocket_production_goal)
        self.actual.extend(stretch.sprocket_production_actual)

    def beginning_at(self, start: int) -> "Chart":
        """Return what holds from a time on: what was in force then begins then."""
        before = bisect_right(self.time_micros, start)
        if not before:
            return self
        first = before - 1
        return Chart([start, *self.time_micros[before:]], self.goal[first:], self.actual[first:])

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
        columns = (self.time_micros, self.goal, self.actual)
        return Chart(*([values[index] for index in indices] for values in columns))


class Drawing(NamedTuple):
    """What is to be drawn.

    Attributes:
        title: The display name of the factory.
        chart: At least one entry; the first is not before the start.
        start: Where the time axis begins, in microseconds since 1970.
        end: Where it ends.
    """

    title: str
    chart: Chart
    start: int
    end: int


def drawing(title: str, chart: Chart, start: int | None, now: int) -> Drawing:
    """Cut out what is to be drawn.

    Args:
        title: The display name of the factory.
        chart: Its chart.
        start: Where to begin, in microseconds since 1970, and then up to now. All of the chart if None.
        now: The present time. Entries after it, by another clock, are drawn all the same.
    """
    if start is None:
        first, last = chart.time_micros[0], chart.time_micros[-1]
        tail = max((last - first) // _TAIL, SECOND) if last > first else max(now - last, SECOND)
        return Drawing(title, chart, first, last + tail)
    end = max(now, chart.time_micros[-1] + 1, start + 1)
    return Drawing(title, chart.beginning_at(start), start, end)
