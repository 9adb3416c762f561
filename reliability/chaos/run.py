"""One fault after another, with what has to hold after each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from reliability.chaos import checks
from reliability.chaos.calls import longest_outage
from reliability.chaos.checks import Audit, Fault
from reliability.chaos.client import Client, Gate, Notes
from reliability.chaos.faults import FAULTS
from reliability.chaos.followers import Follower
from reliability.chaos.pace import Pace
from reliability.chaos.plan import Plan
from reliability.chaos.world import World

_POLL_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_LONGEST_WORK_SECONDS = 60


class Outcome(NamedTuple):
    """What came of a fault.

    Attributes:
        fault: Its name.
        outage: The longest time that a client went without an answer, in seconds.
        recovery: The time from the end of its cause until all clients were answered fast again, in seconds.
        scale: What the bounds were multiplied by.
        problems: What must not be.
    """

    fault: str
    outage: float
    recovery: float
    scale: float
    problems: list[str]


@dataclass
class Run:
    """The clients of a world, and what they are promised.

    Attributes:
        world: The world.
        notes: What the clients write down.
        gate: What keeps them from writing during a check.
        clients: Those with unary calls.
        followers: Those with streams.
        audit: The comparison with the database.
        plan: The faults.
        pace: How fast this machine is: bounds are multiplied by its scale.
    """

    world: World
    notes: Notes
    gate: Gate
    clients: Sequence[Client]
    followers: Sequence[Follower]
    audit: Audit
    plan: Plan
    pace: Pace = field(default_factory=Pace)
    _faults: int = 0
    _read: int = 0

    async def inflict(self, name: str) -> Outcome:
        """Let a fault happen, wait until the service has recovered, and check everything."""
        self._faults += 1
        self.world.draw = Random(f"{self.plan.seed} {self._faults}")
        await asyncio.sleep(self.world.draw.uniform(0, _LONGEST_PAUSE_SECONDS))
        self.pace.add(self.notes.calls.take())
        began = time.monotonic()
        await FAULTS[name](self.world)
        fault = Fault(name, began, time.monotonic())
        recovery, problems = await self._recovered(fault)
        problems += await checks.late_followers(
            self.world, self.followers, checks.LONGEST_LAG_SECONDS * self.pace.scale
        )
        problems += await self._settled()
        calls = self.notes.calls.take()
        longest = checks.LONGEST_CALL_SECONDS * self.pace.scale
        problems += checks.call_problems(calls, fault, longest, self.plan.allowed)
        problems += [*self._told(), *self._logged()]
        return Outcome(name, longest_outage(calls, fault.began), recovery, self.pace.scale, problems)

    async def _recovered(self, fault: Fault) -> tuple[float, list[str]]:
        """Wait until every client was answered fast, and return how long that took."""
        longest = checks.LONGEST_RECOVERY_SECONDS * self.pace.scale
        while slow := [each.name for each in self.clients if not self._is_fast(each, fault.ended)]:
            if time.monotonic() > fault.ended + longest:
                return longest, [f"not fast again within {longest:.1f} s: {', '.join(slow)}"]
            await asyncio.sleep(_POLL_SECONDS)
        return time.monotonic() - fault.ended, []

    def _is_fast(self, client: Client, since: float) -> bool:
        return self.notes.calls.has_fast(client.name, since, checks.LONGEST_FAST_CALL_SECONDS * self.pace.scale)

    async def _settled(self) -> list[str]:
        """Compare the whole state while no client writes."""
        try:
            if not await self.gate.close(_LONGEST_WORK_SECONDS):
                return [f"clients still wait for answers after {_LONGEST_WORK_SECONDS} s"]
            return await self.audit.problems(checks.LONGEST_LAG_SECONDS * self.pace.scale)
        finally:
            self.gate.open()

    def _told(self) -> list[str]:
        """Return the problems that clients and faults met."""
        problems = [*self.notes.problems, *self.world.problems]
        self.notes.problems.clear()
        self.world.problems.clear()
        return problems

    def _logged(self) -> list[str]:
        """Return the new lines of the server's log that have a traceback."""
        size, new = self.world.server.log_size, self.world.server.log_from(self._read)
        self._read = size
        return [f"the server logged: {line}" for line in new.splitlines() if "Traceback" in line]
