"""Measures the lag of the event loop, which grows when the loop is blocked or overloaded."""

import asyncio

from opentelemetry.metrics import Meter

_INTERVAL_SECONDS = 0.1
_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]


class EventLoopLag:
    """Measures the lag ten times a second."""

    def __init__(self, meter: Meter) -> None:
        self._lag = meter.create_histogram(
            "sprocket.event_loop.lag",
            unit="s",
            description="The delay of a task on the event loop.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _INTERVAL_SECONDS
            await asyncio.sleep(_INTERVAL_SECONDS)
            self._lag.record(max(0.0, loop.time() - due))
