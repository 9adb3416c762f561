"""Ends calls: those that take too long, since many clients set no deadline, and all of them when the server stops.

A call that is ended is cancelled, and PostgreSQL cancels the statement that it waits for. Streams have no limit of
time: a stream that follows a chart is meant to stay open.
"""

import asyncio
import math
from typing import Any

from sprocket_grpc.errors import CallTimeoutError, ShuttingDownError, SprocketError
from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.time_limits import TimeLimit, TimeLimits


class Lifetime:
    """Runs inside the interceptor that turns errors into statuses.

    Attributes:
        refused: The number of calls that were refused.
    """

    def __init__(self, seconds: float) -> None:
        self.refused = 0
        self._seconds = seconds
        self._limits = TimeLimits()
        self._running: set[TimeLimit] = set()
        self._refuses = False
        self._is_closed = asyncio.Event()

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Let a call run, at most until its limit or the end of the server.

        Raises:
            CallTimeoutError: It took longer.
            ShuttingDownError: The server stops.
        """
        if self._refuses:
            self.refused += 1
            await self._is_closed.wait()
            raise ShuttingDownError
        limit = TimeLimit(math.inf) if call.is_stream else self._limits.start(self._now() + self._seconds)
        try:
            async with limit.timeout:
                self._running.add(limit)
                return await call_next(call)
        except TimeoutError:
            if not limit.timeout.expired():
                raise  # a time-out of something inside
            raise self._ended() from None
        finally:
            self._running.discard(limit)
            self._limits.stop(limit)

    def refuse(self) -> None:
        """Refuse all new calls, but answer them only when the listener is closed, which `close` says.

        gRPC answers the calls that wait inside it when it closes with CANCELLED, which no client retries. Callers who
        wait for an answer send no more calls, so that none is left there. Those who are refused at once try again at
        once, and some were CANCELLED in each stop that was tried.
        """
        self._refuses = True

    def close(self) -> None:
        """Answer the calls that are refused: their clients know that the connection is closing."""
        self._is_closed.set()

    def end(self) -> None:
        """End all calls."""
        self._refuses = True
        self.close()
        for limit in self._running:
            limit.end(self._now())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _ended(self) -> SprocketError:
        return ShuttingDownError() if self._refuses else CallTimeoutError(self._seconds)
