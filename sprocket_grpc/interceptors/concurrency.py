"""Limits the calls in flight: a call over a limit is refused immediately, so that the client can try another replica.

Streams have a limit of their own: those that follow charts stay open for hours at almost no cost, and neither kind may
exhaust the limit of the other.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.slots import Slots


class ConcurrencyLimit:
    """Runs before everything that costs, and inside the interceptor that turns errors into statuses."""

    def __init__(self, calls: Slots, streams: Slots, holder_of: Callable[[Call], str]) -> None:
        """Limit calls and streams.

        Args:
            calls: The slots of calls with one response.
            streams: The slots of streams.
            holder_of: Returns who holds the slot of a call.
        """
        self._calls = calls
        self._streams = streams
        self._holder_of = holder_of

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Hold a slot until the call has ended: a response that its client does not read is in memory until then.

        Raises:
            OverloadedError: All slots are taken.
            PrincipalLimitError: The holder has its share of them.
        """
        slots, by = self._streams if call.is_stream else self._calls, self._holder_of(call)
        slots.take(by)
        call.ends.append(partial(slots.release, by))
        return await call_next(call)


def everyone(_: Call) -> str:
    """Let all calls have one holder: the limit is that of the server."""
    return ""


def holder(call: Call) -> str:
    """Let the caller hold the slots of its calls."""
    return call.holder
