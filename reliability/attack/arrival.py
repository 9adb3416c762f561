"""Requests that never become whole, from strangers and from a caller with a key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack

from reliability import http2
from reliability.attack.crowd import spread
from reliability.attack.stage import Measure, Stage

_GET, _LIST = "/sprocket.v1.LocationService/GetLocation", "/sprocket.v1.LocationService/ListLocations"
_LARGE = 4 << 20
_ALIVE_SECONDS = 15
"""More than the time that a request has to arrive, which is 10 s by default."""


async def unfinished(stage: Stage) -> AsyncIterator[Measure]:
    """Send 100 requests of 4 MiB less their last byte as a stranger, one on each connection."""
    async for measure in _unfinished(stage, has_key=False):
        yield measure


async def uploads(stage: Stage) -> AsyncIterator[Measure]:
    """Do the same with a key."""
    async for measure in _unfinished(stage, has_key=True):
        yield measure


async def _unfinished(stage: Stage, *, has_key: bool) -> AsyncIterator[Measure]:
    with stage.scene() as scene:
        async with scene.watched() as seen, AsyncExitStack() as until_the_end:

            async def send(_: int) -> None:
                connection = await until_the_end.enter_async_context(http2.connected(scene.address))
                headers = [*http2.USUAL, *(scene.headers if has_key else [])]
                await connection.send(http2.request_headers(1, _GET, headers))
                await connection.upload(1, http2.message(bytes(_LARGE - 5))[:-1])

            await spread(2 * stage.seconds, send, 100)
        for measure in seen.measures():
            yield measure


async def headers(stage: Stage) -> AsyncIterator[Measure]:
    """Open 1,000 connections as a stranger, with ten streams each that have headers only."""
    with stage.scene() as scene:
        async with scene.watched() as seen, AsyncExitStack() as until_the_end:

            async def send(_: int) -> None:
                connection = await until_the_end.enter_async_context(http2.connected(scene.address))
                streams = range(1, 20, 2)
                await connection.send(*(http2.request_headers(stream, _GET) for stream in streams))

            await spread(2 * stage.seconds, send, 1_000)
        for measure in seen.measures():
            yield measure


async def halves(stage: Stage) -> AsyncIterator[Measure]:
    """Send half of 50 requests with a key, and count those that the server still waits for after 15 seconds."""
    with stage.scene() as scene:
        async with scene.watched() as seen, AsyncExitStack() as until_the_end:
            connections = [await until_the_end.enter_async_context(http2.connected(scene.address)) for _ in range(50)]
            for connection in connections:
                begin = http2.request_headers(1, _LIST, [*http2.USUAL, *scene.headers])
                await connection.send(begin, http2.data(1, http2.message(bytes(1_000))[:500]))
            alive = await _alive([connection.answer() for connection in connections])
        yield Measure("half requests alive after 15 s", alive, 0)
        for measure in seen.measures():
            yield measure


async def _alive(answers: Sequence[Awaitable[http2.Answer]]) -> int:
    """Count the calls that have no answer in time."""
    waiting = [asyncio.ensure_future(answer) for answer in answers]
    _, pending = await asyncio.wait(waiting, timeout=_ALIVE_SECONDS)
    for each in pending:
        each.cancel()
    return len(pending)
