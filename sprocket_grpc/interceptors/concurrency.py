"""Takes on only so many calls at once: what would only wait in line is refused at once, and can go elsewhere.

Health is not counted: no interceptor is around it. Streams are counted apart: those that follow charts stay open for
hours and cost next to nothing, and neither kind may keep the other out.
"""

from typing import Any

from sprocket_grpc.errors import OverloadedError
from sprocket_grpc.interceptors.call import Call, CallNext


class _Slots:
    """How many calls of one kind there may be, and are."""

    def __init__(self, limit: int, kind: str) -> None:
        self.limit = limit
        self.name = f"{limit} {kind}"
        self.taken = 0


class ConcurrencyLimit:
    """Stands before all that costs anything, but inside of what turns errors into statuses."""

    def __init__(self, call_limit: int, stream_limit: int) -> None:
        self._calls = _Slots(call_limit, "calls")
        self._streams = _Slots(stream_limit, "streams")

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Take a slot for as long as the call runs.

        Raises:
            OverloadedError: None is free.
        """
        slots = self._streams if call.is_stream else self._calls
        if slots.taken >= slots.limit:
            raise OverloadedError(slots.name)
        slots.taken += 1
        try:
            return await call_next(call)
        finally:
            slots.taken -= 1
