"""A factory's chart in memory, and the part of it that is drawn."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sprocket.v1.factory_pb2 import FactoryChart
from sprocket_grpc.cli.times import SECOND, for_people, to_datetime

# The time axis extends beyond the last entry by 1/20 of the chart, so that the values of that entry are visible.
_TAIL_FRACTION = 20


class Entry(NamedTuple):
    """An entry of a chart. Its values hold until the next entry.

    Attributes:
        time_micros: Since when, in microseconds since 1970.
        goal: The production goal, in sprockets.
        actual: The number of sprockets recorded.
    """

    time_micros: int
    goal: int
    actual: int

    @property
    def gap(self) -> str:
        """The difference between actual and goal, in words."""
        difference = self.actual - self.goal
        if not difference:
            return "on goal"
        return f"{abs(difference):,} {'ahead' if difference > 0 else 'behind'}"

    @property
    def summary(self) -> str:
        """The values, in words."""
        return f"actual {self.actual:,} of goal {self.goal:,}: {self.gap}"

    @property
    def headline(self) -> str:
        """The values and their time, in words."""
        return f"{self.summary}, last changed {for_people(self.time_micros)}"


@dataclass
class Chart:
    """Entries in columns of equal length, oldest first.

    Attributes:
        time_micros: The times of the entries, in microseconds since 1970.
        goal: The production goals, in sprockets.
        actual: The numbers of sprockets recorded.
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
        """The latest entry, which is in force."""
        return Entry(self.time_micros[-1], self.goal[-1], self.actual[-1])

    def extend(self, chunk: FactoryChart) -> None:
        """Append the entries of the next chunk."""
        self.time_micros.extend(chunk.time_micros)
        self.goal.extend(chunk.sprocket_production_goal)
        self.actual.extend(chunk.sprocket_production_actual)

    def in_force_from(self, start: int) -> "Chart":
        """Return the entry that is in force at `start`, which may be older, and all entries after it."""
        first = max(bisect_right(self.time_micros, start) - 1, 0)
        return Chart(*(column[first:] for column in self.columns)) if first else self

    def clamped(self, start: int) -> "Chart":
        """Return the same entries, with times before `start` replaced by `start`."""
        return Chart([max(each, start) for each in self.time_micros], self.goal, self.actual)

    def downsampled(self, intervals: int) -> "Chart":
        """Return a selection of entries that looks the same when it is drawn.

        The time is divided into `intervals` of equal length. Each keeps its first and last entry and those with the
        least and the greatest goal and actual: at most six entries.
        """
        if len(self) <= 6 * intervals:
            return self
        start = self.time_micros[0]
        length = (self.time_micros[-1] - start) // intervals + 1
        kept: set[int] = set()
        for _, group in groupby(range(len(self)), lambda index: (self.time_micros[index] - start) // length):
            kept.update(self._ends_and_extremes(list(group)))
        return self._selected(sorted(kept))

    def _ends_and_extremes(self, indices: Sequence[int]) -> Iterable[int]:
        yield from (indices[0], indices[-1])
        for values in (self.goal, self.actual):
            yield from (min(indices, key=values.__getitem__), max(indices, key=values.__getitem__))

    def _selected(self, indices: Sequence[int]) -> "Chart":
        return Chart(*([values[index] for index in indices] for values in self.columns))


class Drawing(NamedTuple):
    """The part of a chart that is drawn, with its title and time axis.

    Attributes:
        title: The display name of the factory.
        headline: The latest values, in words.
        chart: At least one entry, none of them before `start`.
        start: The start of the time axis, in microseconds since 1970.
        end: The end of the time axis, in microseconds since 1970.
        retained_from: The time of the first entry that is kept, likewise, if older ones have expired.
    """

    title: str
    headline: str
    chart: Chart
    start: int
    end: int
    retained_from: int | None = None

    @property
    def corners(self) -> tuple[list[int], list[int], list[int]]:
        """The corners of the curves, which are step functions: times, goals and actuals of equal length."""
        times, goal, actual = ([each for each in column for _ in range(2)] for column in self.chart.columns)
        return [*times[1:], self.end], goal, actual

    @property
    def coinciding(self) -> Iterator[tuple[list[int], list[int]]]:
        """The parts in which both curves are equal: times and values of their corners."""
        times = [*self.chart.time_micros, self.end]
        numbers = zip(self.chart.goal, self.chart.actual, strict=True)
        for are_equal, group in groupby(enumerate(numbers), lambda entry: entry[1][0] == entry[1][1]):
            if are_equal:
                steps = [(index, goal) for index, (goal, _) in group]
                corners = [(times[n], value) for index, value in steps for n in (index, index + 1)]
                yield [time for time, _ in corners], [value for _, value in corners]

    @property
    def time_label(self) -> str:
        """The label of the time axis."""
        first, last = (f"{to_datetime(each):%Y-%m-%d}" for each in (self.start, self.end))
        return f"time (UTC), {first}" + (f" to {last}" if last != first else "")

    def downsampled(self, intervals: int) -> "Drawing":
        """Return a drawing that looks the same, with at most six entries in each of `intervals`."""
        return self._replace(chart=self.chart.downsampled(intervals))


def expired_note(retained_from: int) -> str:
    """Say that the entries of a chart before a time, in microseconds since 1970, have expired."""
    return f"entries before {for_people(retained_from)} have expired"


def drawing(title: str, chart: Chart, start: int | None, now: int) -> Drawing:
    """Return the drawing of a chart.

    Args:
        title: The display name of the factory.
        chart: Its chart.
        start: The start of the time axis, in microseconds since 1970; the axis ends now. None means the whole chart.
        now: The present time, in microseconds since 1970. Later entries, by the server's clock, are drawn too.
    """
    if start is None:
        first = chart.time_micros[0]
        return Drawing(title, chart.last.headline, chart, first, _end(first, chart.time_micros[-1], now))
    end = max(now, chart.time_micros[-1] + 1, start + 1)
    return Drawing(title, chart.last.headline, chart.in_force_from(start).clamped(start), start, end)


def _end(first: int, last: int, now: int) -> int:
    """Return the end of the time axis: a little after the last entry, so that it is visible, but not in the future."""
    if first == last:
        return max(now, last + SECOND)
    return max(last + 1, min(now, last + (last - first) // _TAIL_FRACTION))
