"""Ends calls that take too long, whatever deadline their clients gave: many give none.

A call that ends so, or at its client's deadline, is cancelled, and with it the statement that it waits for: psycopg
tells PostgreSQL. Streams have no such end; what follows a chart is meant to stay.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sprocket_grpc.errors import CallTimeoutError
from sprocket_grpc.interceptors.call import Call


class CallTimeout:
    """Stands inside of what turns errors into statuses."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Let a call run for so many seconds.

        Raises:
            CallTimeoutError: They are over.
        """
        if call.is_stream:
            yield
            return
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise CallTimeoutError(self._seconds) from None
            raise
