"""Streams: too many of them, unread ones, and one that follows very many charts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc

from reliability import http2
from reliability.attack.crowd import loops, spread
from reliability.attack.stage import Measure, Scene, Stage
from sprocket.v1.factory_pb2 import Factory, FollowFactoryChartsRequest, GetFactoryChartRequest, UpdateFactoryRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from tests.support.callers import bearer

_WATCH, _CHART = "/grpc.health.v1.Health/Watch", "/sprocket.v1.FactoryService/GetFactoryChart"
_ENTRIES = 100_000
_CHARTS = 1_000
_FOLLOWERS = 5


async def watches(stage: Stage) -> AsyncIterator[Measure]:
    """Open 5,000 watches of the health as a stranger, over 100 connections."""
    with stage.scene() as scene:
        async with scene.watched() as seen, AsyncExitStack() as until_the_end:

            async def send(_: int) -> None:
                connection = await until_the_end.enter_async_context(http2.connected(scene.address))
                body = http2.message(b"")
                for stream in range(1, 100, 2):
                    begin = http2.request_headers(stream, _WATCH)
                    await connection.send(begin, http2.data(stream, body, ends=True))

            await spread(stage.seconds, send, 100)
        for measure in seen.measures():
            yield measure


async def unread(stage: Stage) -> AsyncIterator[Measure]:
    """Ask for a chart of 100,000 entries in 200 streams with a key, and read none of them."""
    request = GetFactoryChartRequest(factory_id=stage.data.long_chart(_ENTRIES)).SerializeToString()
    with stage.scene() as scene:
        async with scene.watched() as seen, AsyncExitStack() as until_the_end:

            async def send(_: int) -> None:
                connection = await until_the_end.enter_async_context(
                    http2.connected(scene.address, [(http2.INITIAL_WINDOW_SIZE, 0)])
                )
                begin = http2.request_headers(1, _CHART, [*http2.USUAL, *scene.headers])
                await connection.send(begin, http2.data(1, http2.message(request), ends=True))

            await spread(stage.seconds, send, 200)
        for measure in seen.measures():
            yield measure


async def charts(stage: Stage) -> AsyncIterator[Measure]:
    """Follow 1,000 charts in each of five streams with a key, while one of the charts changes all the time."""
    factories = stage.data.factories(_CHARTS)
    with stage.scene() as scene:
        async with scene.watched() as seen:
            received, changes = await _follow_while_changing(scene, factories, stage.seconds)
        yield Measure("more CPU for a change and a follower", 1000 * seen.cpu / changes / _FOLLOWERS, 5, "ms")
        yield Measure("bytes to a follower for a change", received / _FOLLOWERS / changes, 64_000, "bytes")
        for measure in seen.measures():
            yield measure


async def _follow_while_changing(scene: Scene, factories: list[str], seconds: float) -> tuple[int, int]:
    """Return how many bytes all followers received, and how many changes were made."""
    received = changes = 0
    key = bearer(scene.key)
    async with grpc.aio.insecure_channel(scene.address) as channel:
        stub = FactoryServiceStub(channel)

        async def follow() -> None:
            nonlocal received
            async for response in stub.FollowFactoryCharts(
                FollowFactoryChartsRequest(factory_ids=factories), metadata=key
            ):
                received += response.ByteSize()

        async def change() -> None:
            nonlocal changes
            factory = Factory(id=factories[0], sprocket_production_goal=changes % 1000 + 1)
            await stub.UpdateFactory(UpdateFactoryRequest(factory=factory), metadata=key)
            changes += 1
            await asyncio.sleep(0.2)

        await asyncio.gather(loops(seconds, follow, _FOLLOWERS), loops(seconds, change, 1))
    return received, max(1, changes)
