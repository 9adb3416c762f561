"""Limits how long a call may take, since many clients set no deadline.

A call that exceeds the limit or its deadline is cancelled, and PostgreSQL cancels the statement that it waits for.
Streams have no limit: a stream that follows a chart is meant to stay open.
"""

import asyncio
from typing import Any

from sprocket_grpc.errors import CallTimeoutError
from sprocket_grpc.interceptors.call import Call, CallNext


class CallTimeout:
    """Runs inside the interceptor that turns errors into statuses."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Cancel a call that takes longer than the limit.

        Raises:
            CallTimeoutError: It took longer.
        """
        if call.is_stream:
            return await call_next(call)
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                return await call_next(call)
        except TimeoutError:
            if not limit.expired():
                raise  # a time-out of something inside
            raise CallTimeoutError(self._seconds) from None
