"""Compares what clients were told with the database, after a fault and while nothing is written."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString, NamedTuple, Protocol

from grpc import StatusCode

from reliability.chaos.calls import Call
from reliability.chaos.followers import Follower
from reliability.chaos.ledger import Entry, Ledger, Row
from sprocket.v1.factory_pb2 import FactoryChart

LONGEST_CALL_SECONDS = 5.0
LONGEST_RECOVERY_SECONDS = 5.0
LONGEST_LAG_SECONDS = 2.0
LONGEST_FAST_CALL_SECONDS = 0.5

_POLL_SECONDS = 0.02
_BEGINS = 4
"""After this multiple of the bound, a follower is late even if its streams begin again and again."""


class Books(Protocol):
    """The database that clients are compared with."""

    async def query(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement, and return its rows."""


class Fault(NamedTuple):
    """A fault that is over.

    Attributes:
        name: Its name.
        began: When it began, by a monotonic clock in seconds.
        ended: When its cause was gone.
    """

    name: str
    began: float
    ended: float


def call_problems(calls: Iterable[Call], fault: Fault, seconds: float, allowed: Iterable[StatusCode]) -> Iterator[str]:
    """Check the statuses of calls, and that no unary one took longer than `seconds` outside of the fault."""
    calls, allowed = list(calls), {StatusCode.OK, *allowed}
    for code in sorted({call.code for call in calls} - allowed, key=str):
        wrong = [call for call in calls if call.code is code]
        methods = ", ".join(sorted({call.method for call in wrong}))
        yield f"{len(wrong)} calls ended with {code.name} ({methods}), such as: {wrong[0].details}"
    for call in calls:
        if call.is_unary and (took := call.seconds_outside(fault.began, fault.ended)) > seconds:
            yield f"{call.client}: {call.method} took {took:.1f} s beside the fault, and ended with {call.code.name}"


async def late_followers(world: Books, followers: Sequence[Follower], seconds: float) -> list[str]:
    """Return which followers do not have within `seconds` what the database has now.

    One whose stream began meanwhile, and who may read the whole history, has `seconds` from then on.
    """
    sequences = dict(await world.query("SELECT id::text, chart_sequence FROM factory"))
    begin = time.monotonic()
    while lacking := [each for each in followers if _lacks(each, sequences)]:
        now = time.monotonic()
        late = [each for each in lacking if now > min(max(begin, each.began), begin + _BEGINS * seconds) + seconds]
        if late:
            return [f"{each.name}: lacks {_lacks(each, sequences)} entries after {now - begin:.1f} s" for each in late]
        await asyncio.sleep(_POLL_SECONDS)
    return []


def _lacks(follower: Follower, sequences: dict[str, int]) -> int:
    return sum(max(0, sequences[factory_id] - copy.sequence) for factory_id, copy in follower.copies.items())


@dataclass
class Audit:
    """Compares the whole state after each fault, and remembers up to where the charts were compared."""

    world: Books
    ledger: Ledger
    followers: Sequence[Follower]
    last: dict[str, Entry]

    async def problems(self, seconds: float) -> list[str]:
        """Compare, while nothing is written; followers get `seconds` for the newest entries."""
        problems = list(self.ledger.problems([Row(*row) for row in await self._sprockets()]))
        await late_followers(self.world, self.followers, seconds)  # their columns will show it
        for factory_id, last in self.last.items():
            entries = await self._entries(factory_id, last.sequence)
            problems += self.ledger.chart_problems(factory_id, last, entries)
            problems += await self._counter_problems(factory_id, (entries or [last])[-1])
            problems += self._copy_problems(factory_id, entries)
            self.last[factory_id] = (entries or [last])[-1]
        return problems

    async def _sprockets(self) -> list[tuple[str, str]]:
        return await self.world.query("SELECT id::text, display_name FROM sprocket")

    async def _entries(self, factory_id: str, after: int) -> list[Entry]:
        rows = await self.world.query(
            "SELECT sequence, time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry"
            " WHERE factory_id = %s AND sequence > %s ORDER BY sequence",
            factory_id,
            after,
        )
        # In this order: a row that becomes part of a page meanwhile is in both.
        pages = await self.world.query(
            "SELECT first_sequence, wire FROM chart_page WHERE factory_id = %s AND last_sequence > %s",
            factory_id,
            after,
        )
        found = [Entry(*row) for row in rows] + [entry for page in pages for entry in _entries_of(*page)]
        return sorted({entry.sequence: entry for entry in found if entry.sequence > after}.values())

    async def _counter_problems(self, factory_id: str, last: Entry) -> list[str]:
        [(sequence, actual, count)] = await self.world.query(
            "SELECT chart_sequence, sprocket_production_actual,"
            " (SELECT count(*) FROM sprocket WHERE factory_id = factory.id) FROM factory WHERE id = %s",
            factory_id,
        )
        if (sequence, actual, count) == (last.sequence, last.actual, last.actual):
            return []
        return [f"{factory_id} counts {actual} sprockets up to {sequence}, has {count}, and its chart ends with {last}"]

    def _copy_problems(self, factory_id: str, entries: Sequence[Entry]) -> Iterator[str]:
        for follower in self.followers:
            if factory_id in follower.copies and (what := follower.copies[factory_id].difference(entries)):
                follower.restart()
                yield f"{follower.name}: its columns of {factory_id} differ from the table: it {what}"


def _entries_of(first_sequence: int, wire: bytes) -> Iterator[Entry]:
    chart = FactoryChart.FromString(wire)
    columns = (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual)
    return map(Entry, count(first_sequence), *columns)
