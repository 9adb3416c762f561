"""One event after another, with what has to hold after each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reliability.chaos import checks
from reliability.chaos.calls import RETRIED
from reliability.chaos.checks import Audit, Fault
from reliability.chaos.client import DEADLINE_SECONDS, Client, Gate, Notes
from reliability.chaos.followers import Follower
from reliability.ha.events import EVENTS
from reliability.ha.watch import HealthWatch, longest_outage
from reliability.ha.world import World

_POLL_SECONDS = 0.05
_LONGEST_OUTAGE_SECONDS = 90
_LONGEST_WORK_SECONDS = 60
_LONGEST_LAG_SECONDS = 15
_LONGEST_ILLNESS_SECONDS = 10
_STANDBYS = 2


class Outcome(NamedTuple):
    """What came of an event.

    Attributes:
        event: Its name.
        outage: The longest time without an acknowledged write, in seconds.
        reads: The longest time without an answered read, in seconds.
        noticed: How long after the last acknowledged write health was NOT_SERVING, in seconds; None if it never was.
        healthy: How long after the first write that was acknowledged again health was SERVING, in seconds.
        whole: How long it took until all nodes were in order again, in seconds, from the repair on.
        problems: What must not be.
    """

    event: str
    outage: float
    reads: float
    noticed: float | None
    healthy: float
    whole: float
    problems: list[str]


@dataclass
class Run:
    """The clients of a world, and what they are promised.

    Attributes:
        world: The world.
        notes: What the clients write down.
        gate: What keeps them from writing during a check.
        writers: Those who write.
        readers: The others with unary calls.
        followers: Those with streams.
        audit: The comparison with the database.
        health: The watch over the health of the server.
    """

    world: World
    notes: Notes
    gate: Gate
    writers: Sequence[Client]
    readers: Sequence[Client]
    followers: Sequence[Follower]
    audit: Audit
    health: HealthWatch

    async def inflict(self, name: str) -> Outcome:
        """Let an event happen, wait until writes are back, repair the cluster, and check everything."""
        self.notes.calls.take()
        began = time.monotonic()
        async with EVENTS[name](self.world.cluster):
            problems = await self._until_all_are_answered(time.monotonic())
            problems += await self._until_healthy()
        repaired = time.monotonic()
        await asyncio.to_thread(self.world.cluster.start)
        whole = time.monotonic() - repaired
        problems += await self._problems()
        return self._outcome(Fault(name, began, repaired + whole), whole, problems)

    def _outcome(self, fault: Fault, whole: float, problems: list[str]) -> Outcome:
        """Measure from the calls since the event, and check their statuses."""
        calls = self.notes.calls.take()
        outage = longest_outage(calls, self.writers, fault.began)
        reads = longest_outage(calls, self.readers, fault.began)
        problems += checks.call_problems(calls, fault, DEADLINE_SECONDS, RETRIED)
        ill = [each for each in self.health.unhealthy(fault.began) if each[0] < fault.ended]
        noticed = max(0.0, ill[0][0] - outage.began) if ill else None
        healthy = max(0.0, ill[-1][1] - outage.ended) if ill else 0.0
        return Outcome(fault.name, outage.seconds, reads.seconds, noticed, healthy, whole, problems)

    async def _until_all_are_answered(self, since: float) -> list[str]:
        """Wait until each client has got an answer to a call that it made after `since`."""
        while waiting := [each.name for each in [*self.writers, *self.readers] if not self._is_answered(each, since)]:
            if time.monotonic() > since + _LONGEST_OUTAGE_SECONDS:
                return [f"not answered within {_LONGEST_OUTAGE_SECONDS} s: {', '.join(waiting)}"]
            await asyncio.sleep(_POLL_SECONDS)
        return []

    def _is_answered(self, client: Client, since: float) -> bool:
        return self.notes.calls.has_fast(client.name, since, DEADLINE_SECONDS)

    async def _until_healthy(self) -> list[str]:
        since = time.monotonic()
        while any(ended > time.monotonic() for _, ended in self.health.unhealthy(since)):
            if time.monotonic() > since + _LONGEST_ILLNESS_SECONDS:
                return [f"health is not SERVING {_LONGEST_ILLNESS_SECONDS} s after all clients were answered"]
            await asyncio.sleep(_POLL_SECONDS)
        return []

    async def _problems(self) -> list[str]:
        """Return what is wrong now that the cluster is whole."""
        problems = await checks.late_followers(self.world, self.followers, _LONGEST_LAG_SECONDS)
        if not await self.world.are_standbys_fresh(_STANDBYS, _LONGEST_LAG_SECONDS):
            problems.append(f"the server does not read from {_STANDBYS} standbys")
        problems += await self._settled()
        problems += self.notes.problems
        self.notes.problems.clear()
        return problems

    async def _settled(self) -> list[str]:
        """Compare the whole state while no client writes."""
        try:
            if not await self.gate.close(_LONGEST_WORK_SECONDS):
                return [f"clients still wait for answers after {_LONGEST_WORK_SECONDS} s"]
            return await self.audit.problems(_LONGEST_LAG_SECONDS)
        finally:
            self.gate.open()
