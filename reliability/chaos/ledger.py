"""What the service has acknowledged, and how the database differs from it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import NamedTuple

SHOWN = 3
"""How many sprockets a problem names."""


class Row(NamedTuple):
    """A sprocket in the database. Its name was made from the request id of its creation."""

    id: str
    name: str


class Entry(NamedTuple):
    """An entry of a chart in the database."""

    sequence: int
    time_micros: int
    goal: int
    actual: int


@dataclass
class Ledger:
    """The acknowledged sprockets, by name, and the acknowledged goals of each factory.

    A name is of one creation alone, so that a creation that was executed twice shows in the database.

    Attributes:
        live: The ids of the sprockets that must exist.
        deleted: The ids of those that must not, since the last check.
        unknown: The names of those whose creation or deletion has begun, and is not acknowledged.
        goals: The goals of each factory, in the order of their updates, since the last check.
    """

    live: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    goals: dict[str, list[int]] = field(default_factory=dict)

    def created(self, created: Iterable[Row]) -> None:
        """Note an acknowledged creation."""
        for row in created:
            self.unknown.discard(row.name)
            self.live[row.name] = row.id

    def drawn(self, draw: Random) -> Row | None:
        """Return a sprocket that must exist, or None if no sprocket must."""
        if not self.live:
            return None
        name = draw.choice(tuple(self.live))
        return Row(self.live[name], name)

    def deleting(self, rows: Iterable[Row]) -> None:
        """Note that a deletion begins: from now on the sprockets may be missing."""
        for row in rows:
            del self.live[row.name]
            self.unknown.add(row.name)

    def has_deleted(self, rows: Iterable[Row]) -> None:
        """Note an acknowledged deletion."""
        for row in rows:
            self.unknown.discard(row.name)
            self.deleted[row.name] = row.id

    def problems(self, rows: Iterable[Row]) -> Iterator[str]:
        """Compare with all sprockets in the database, while nothing is written, and tell each difference once."""
        rows = list(rows)
        found = {row.name: row.id for row in rows}
        twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
        lost = self.live.keys() - found.keys()
        undone = self.deleted.keys() & found.keys()
        stray = found.keys() - self.live.keys() - self.deleted.keys() - self.unknown
        other = [name for name in self.live.keys() & found.keys() if self.live[name] != found[name]]
        yield from _told("created twice with one request id", twice)
        yield from _told("acknowledged and lost", lost)
        yield from _told("deletion acknowledged and undone", undone)
        yield from _told("in the database, but never acknowledged", stray)
        yield from _told("acknowledged with another id than in the database", other)
        self.deleted.clear()
        self.unknown |= stray
        for name in lost:
            del self.live[name]

    def chart_problems(self, factory_id: str, last: Entry, entries: list[Entry]) -> Iterator[str]:
        """Compare the new entries of a chart with the acknowledged goals.

        Args:
            factory_id: The factory.
            last: The entry before them.
            entries: The entries since the last check.
        """
        sequences = [entry.sequence for entry in entries]
        if sequences != list(range(last.sequence + 1, last.sequence + 1 + len(entries))):
            yield f"the chart of {factory_id} has a gap after {last.sequence}"
        times = [last.time_micros, *(entry.time_micros for entry in entries)]
        if times != sorted(times):
            yield f"the chart of {factory_id} has times that decrease after sequence {last.sequence}"
        changes = [goal for goal, _ in groupby([last.goal, *(entry.goal for entry in entries)])][1:]
        if changes != (goals := self.goals.pop(factory_id, [])):
            yield f"the chart of {factory_id} has the goals {changes}, acknowledged were {goals}"


def _told(what: str, names: Iterable[str]) -> Iterator[str]:
    if names := sorted(names):
        yield f"{len(names)} sprockets {what}, such as {', '.join(names[:SHOWN])}"
