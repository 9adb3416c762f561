"""The lane of expensive work: counts, filters, summaries and large batches take a share of the connections.

The rest is for cheap calls, which never wait behind it. In the lane, one caller has a share too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sprocket_grpc.caller import ANONYMOUS, current_caller
from sprocket_grpc.errors import DeadlineExceededError, ExpensiveCallLimitError
from sprocket_grpc.slots import Turns


@dataclass(frozen=True)
class LaneLimits:
    """The limits of the lane.

    Attributes:
        connections: The largest number of connections that expensive work has at a time.
        wait_seconds: The longest wait for one of them.
        run_seconds: The longest time that it is held.
    """

    connections: int = 5
    wait_seconds: float = 5
    run_seconds: float = 15


class Lane:
    """Admits expensive work, fairly for the callers: of those who wait, the one who has least is next.

    An authenticated caller never has all of it, so that another one finds room. Without authentication all are one.
    """

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._turns = Turns(limits.connections, max(1, limits.connections - 1))
        self._turns_of_all = Turns(limits.connections, limits.connections)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for the turn of the current caller, and hold it during the block.

        Raises:
            ExpensiveCallLimitError: Its turn did not come in time.
            DeadlineExceededError: The block took too long.
        """
        principal, is_running = current_caller().principal, False
        turns = self._turns_of_all if principal == ANONYMOUS else self._turns
        limit = asyncio.timeout(self._limits.wait_seconds)
        try:
            async with limit, turns.turn(principal):
                limit.reschedule(asyncio.get_running_loop().time() + self._limits.run_seconds)
                is_running = True
                yield
        except TimeoutError:
            if not limit.expired():
                raise  # a time-out of something inside
            if is_running:
                raise DeadlineExceededError from None
            raise ExpensiveCallLimitError(self._limits.connections) from None
