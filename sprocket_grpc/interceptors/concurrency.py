"""Limits the calls in flight: a call over the limit is refused immediately, so that the client can try another replica.

Health checks are not counted. Streams have a limit of their own: those that follow charts stay open for hours at
almost no cost, and neither kind may exhaust the limit of the other.
"""

from typing import Any

from sprocket_grpc.errors import OverloadedError
from sprocket_grpc.interceptors.call import Call, CallNext


class _Slots:
    """The limit and the number of calls of one kind."""

    def __init__(self, limit: int, kind: str) -> None:
        self.limit = limit
        self.name = f"{limit} {kind}"
        self.taken = 0


class ConcurrencyLimit:
    """Runs before everything that costs, and inside the interceptor that turns errors into statuses."""

    def __init__(self, call_limit: int, stream_limit: int) -> None:
        self._calls = _Slots(call_limit, "calls")
        self._streams = _Slots(stream_limit, "streams")

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Hold a slot while the call runs.

        Raises:
            OverloadedError: All slots are taken.
        """
        slots = self._streams if call.is_stream else self._calls
        if slots.taken >= slots.limit:
            raise OverloadedError(slots.name)
        slots.taken += 1
        try:
            return await call_next(call)
        finally:
            slots.taken -= 1
