"""Ends calls that take too long, whatever deadline their clients gave: many give none.

A call that ends so, or at its client's deadline, is cancelled, and with it the statement that it waits for: PostgreSQL
is told. Streams have no such end; what follows a chart is meant to stay.
"""

import asyncio
from typing import Any

from sprocket_grpc.errors import CallTimeoutError
from sprocket_grpc.interceptors.call import Call, CallNext

_Task = asyncio.Task[Any]


class CallTimeout:
    """Stands inside of what turns errors into statuses.

    All calls have the same time, so that the oldest is always the next to be over, and one timer does for all.
    `asyncio.timeout` makes one for each, which is 5 % of the CPU of a point read.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[_Task, float] = {}  # of the calls that run, by the clock of the event loop; the oldest first
        self._is_timer_set = False

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Let a call run for so many seconds.

        Raises:
            CallTimeoutError: They are over.
        """
        task = asyncio.current_task()
        if call.is_stream or task is None:
            return await call_next(call)
        self._begin(task)
        try:
            return await call_next(call)
        except asyncio.CancelledError:
            if task in self._ends or task.uncancel():  # not by us, or not by us alone
                raise
            raise CallTimeoutError(self._seconds) from None
        finally:
            self._ends.pop(task, None)

    def _begin(self, task: _Task) -> None:
        loop = task.get_loop()
        self._ends[task] = loop.time() + self._seconds
        if not self._is_timer_set:
            self._is_timer_set = True
            loop.call_later(self._seconds, self._end_oldest, loop)

    def _end_oldest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel calls whose time is over, and come back when that of the next one is."""
        while self._ends:
            task, end = next(iter(self._ends.items()))
            if end > loop.time():
                loop.call_at(end, self._end_oldest, loop)
                return
            del self._ends[task]
            task.cancel()
        self._is_timer_set = False
