"""Floods by strangers: calls without credentials, malformed messages, and compression bombs."""

import gzip
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc

from reliability import http2
from reliability.attack.crowd import loops, spread
from reliability.attack.stage import Measure, Stage

_LIST = "/sprocket.v1.LocationService/ListLocations"
_UNGUARDED = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
_MALFORMED = b"\xff\xff"
_REFUSALS = {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
_INFLATED = 48 << 20  # 1,000 times as large as it travels
_LINE_BYTES = 1_000


async def flood(stage: Stage) -> AsyncIterator[Measure]:
    """Call as fast as possible without credentials and with invalid ones, 30 calls at a time."""
    numbers = itertools.count()
    with stage.scene() as scene:
        async with scene.watched() as seen, grpc.aio.insecure_channel(scene.address) as channel:
            method: Any = channel.unary_unary(_LIST)

            async def call() -> None:
                key = f"Bearer sprocket_{next(numbers)}_x"
                metadata = (("authorization", key),) if next(numbers) % 4 else None
                await method(b"", metadata=metadata)

            codes = await loops(stage.seconds, call, 30)
        yield Measure("calls that were not refused", sum(codes[code] for code in set(codes) - _REFUSALS), 0)
        for measure in seen.measures():
            yield measure


async def malformed(stage: Stage) -> AsyncIterator[Measure]:
    """Send bytes that are no message to health and reflection, 20 calls at a time."""
    paths = itertools.cycle(_UNGUARDED)
    with stage.scene() as scene:
        async with scene.watched() as seen, grpc.aio.insecure_channel(scene.address) as channel:

            async def call() -> None:
                method: Any = channel.stream_stream(next(paths))
                async for _ in method(iter([_MALFORMED])):
                    pass

            codes = await loops(stage.seconds, call, 20)
        log = scene.server.log_from(0)
        wrong = codes["UNKNOWN"] + codes["INTERNAL"] + codes["UNIMPLEMENTED"]
        yield Measure("answers that are defects", wrong, 0)
        yield Measure("tracebacks in the log", log.count("Traceback"), 0)
        yield Measure("bytes of log for a call", len(log) / max(1, codes.total()), _LINE_BYTES)
        for measure in seen.measures():
            yield measure


async def bombs(stage: Stage) -> AsyncIterator[Measure]:
    """Send 100 requests of 48 MiB of zeros, compressed to 48 kB, half of them with a key."""
    body = http2.message(gzip.compress(bytes(_INFLATED)), compressed=1)
    codes = Counter[str]()
    with stage.scene() as scene:
        async with scene.watched() as seen:

            async def send(number: int) -> None:
                headers = [*http2.USUAL, (b"grpc-encoding", b"gzip"), *(scene.headers if number % 2 else [])]
                async with http2.connected(scene.address) as connection:
                    await connection.send(http2.request_headers(1, _LIST, headers), http2.data(1, body, ends=True))
                    codes[(await connection.answer()).code] += 1

            await spread(stage.seconds, send, 100)
        yield Measure("bombs that were accepted", codes["OK"], 0)
        for measure in seen.measures():
            yield measure
