"""Stops under load: every call ends as OK or UNAVAILABLE, which clients retry (row 25)."""

import asyncio
import signal
from collections import Counter
from typing import Any

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.support.command_line import PATIENCE_SECONDS, serving
from tests.support.waiting import until

pytestmark = pytest.mark.slow

CHANNELS, CALLERS, STOPS = 4, 25, 5
"""The channels, the callers on each, and the stops. `make chaos ONLY=stops` does fifty."""

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


class Callers:
    """Callers that call without a pause and without a retry.

    Attributes:
        codes: How their calls ended.
    """

    def __init__(self) -> None:
        self.codes: Counter[grpc.StatusCode] = Counter()

    async def call_until_gone(self, address: str) -> None:
        """Call until the server is gone."""
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.gather(*(self._call(channel) for _ in range(CALLERS)))

    async def until_answered(self, count: int) -> None:
        """Wait until calls are answered."""
        await until(lambda: self.codes[OK] >= count)

    async def _call(self, channel: grpc.aio.Channel) -> None:
        client: Any = LocationServiceStub(channel)
        while not self.codes.keys() - {OK} or channel.get_state() is grpc.ChannelConnectivity.READY:
            code = await _code(client)
            self.codes[code] += 1


async def _code(client: Any) -> grpc.StatusCode:
    try:
        await client.ListLocations(ListLocationsRequest(), timeout=PATIENCE_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return OK


@pytest.mark.parametrize("signals", [1, 2], ids=["one signal", "two signals"])
@pytest.mark.parametrize("drain", ["0", "0.3"])
async def test_every_call_at_a_stopping_server_ends_as_ok_or_unavailable(
    database_url: str, drain: str, signals: int
) -> None:
    for _ in range(STOPS):
        callers = Callers()
        with serving(database_url=database_url, drain_seconds=drain) as served:
            calling = [asyncio.create_task(callers.call_until_gone(served.address)) for _ in range(CHANNELS)]
            await callers.until_answered(CHANNELS * CALLERS)
            for _ in range(signals):
                served.signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
            await asyncio.gather(*calling)
            finished = await asyncio.to_thread(served.end)
        assert set(callers.codes) == {OK, UNAVAILABLE}
        assert finished.status == 0
        assert "Traceback" not in finished.errors
