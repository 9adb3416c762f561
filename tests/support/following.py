"""Clients that follow charts and keep all responses."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

import grpc

from sprocket.v1.factory_pb2 import (
    FactoryChart,
    FollowFactoryChartsRequest,
    FollowFactoryChartsResponse,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub

PATIENCE_SECONDS = 30

_R = TypeVar("_R", GetFactoryChartResponse, FollowFactoryChartsResponse)


def numbers(chart: FactoryChart) -> list[tuple[int, int]]:
    """Return the goal and the actual of each entry."""
    return list(zip(chart.sprocket_production_goal, chart.sprocket_production_actual, strict=True))


class FollowedStream(Generic[_R]):
    """A stream that is read in the background until the block ends.

    Attributes:
        responses: The responses received so far.
        call: The call.
    """

    def __init__(self, call: Any) -> None:
        self.call = call
        self.responses: list[_R] = []
        self._arrived = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await self._reading

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; fail if the stream ends before, or after `PATIENCE_SECONDS`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._arrived.clear()
                arrived = asyncio.create_task(self._arrived.wait())
                await asyncio.wait([arrived, self._reading], return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
                if self._reading.done() and not condition():
                    await self._reading
                    raise AssertionError("the stream has ended")

    async def until_responses(self, count: int) -> None:
        """Wait until `count` responses have arrived in total."""
        await self.until(lambda: len(self.responses) >= count)

    async def ended(self) -> None:
        """Wait for the end of the stream, and raise its error."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reading

    async def _read(self) -> None:
        async for response in self.call:
            self.responses.append(response)
            self._arrived.set()


class ChartFollower(FollowedStream[GetFactoryChartResponse]):
    """A stream of GetFactoryChart with follow."""

    def __init__(self, channel: grpc.aio.Channel, factory_id: str, **fields: Any) -> None:
        request = GetFactoryChartRequest(factory_id=factory_id, follow=True, **fields)
        super().__init__(FactoryServiceStub(channel).GetFactoryChart(request))

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """The goal and the actual of each entry that has arrived."""
        return [pair for response in self.responses for pair in numbers(response.chart)]

    async def until_entries(self, count: int) -> None:
        """Wait until `count` entries have arrived in total."""
        await self.until(lambda: len(self.numbers) >= count)


class ChartsFollower(FollowedStream[FollowFactoryChartsResponse]):
    """A stream of FollowFactoryCharts."""

    def __init__(self, channel: grpc.aio.Channel, factory_ids: list[str], **fields: Any) -> None:
        request = FollowFactoryChartsRequest(factory_ids=factory_ids, **fields)
        super().__init__(FactoryServiceStub(channel).FollowFactoryCharts(request))

    @property
    def charts(self) -> dict[str, list[tuple[int, int]]]:
        """The goal and the actual of each entry that has arrived, by factory."""
        charts: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for response in self.responses:
            for each in response.charts:
                charts[each.factory_id] += numbers(each.chart)
        return dict(charts)

    async def until_entries(self, count: int) -> None:
        """Wait until `count` entries of all factories have arrived in total."""
        await self.until(lambda: sum(map(len, self.charts.values())) >= count)
