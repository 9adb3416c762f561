"""Expensive questions of one caller with a key, while another one reads."""

from collections import Counter
from collections.abc import AsyncIterator

import grpc

from reliability.attack.crowd import loops
from reliability.attack.stage import Measure, Stage
from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import ListSprocketsRequest
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from tests.support.callers import bearer

_SPROCKETS, _ENTRIES = 200_000, 1_000_000
_TERMS = 80
_CALL_SECONDS = 30


async def counts(stage: Stage) -> AsyncIterator[Measure]:
    """Ask ten times at once for the total of a list of 200,000 sprockets with a filter of 80 terms."""
    stage.data.sprockets(_SPROCKETS)
    terms = " OR ".join(f'display_name:"q{number}"' for number in range(_TERMS))
    request = ListSprocketsRequest(filter=terms, show_total_size=True, page_size=1)
    with stage.scene() as scene:
        async with scene.watched() as seen, grpc.aio.insecure_channel(scene.address) as channel:
            stub = SprocketServiceStub(channel)

            async def call() -> None:
                await stub.ListSprockets(request, metadata=bearer(scene.key), timeout=_CALL_SECONDS)

            codes = await loops(stage.seconds, call, 10)
        yield _rejected(codes)
        for measure in seen.measures():
            yield measure


async def points(stage: Stage) -> AsyncIterator[Measure]:
    """Ask for a few points of a chart of a million entries, twenty times at once."""
    request = GetFactoryChartRequest(factory_id=stage.data.long_chart(_ENTRIES), max_points=6)
    with stage.scene() as scene:
        async with scene.watched() as seen, grpc.aio.insecure_channel(scene.address) as channel:
            stub = FactoryServiceStub(channel)

            async def call() -> None:
                async for _ in stub.GetFactoryChart(request, metadata=bearer(scene.key), timeout=_CALL_SECONDS):
                    pass

            codes = await loops(stage.seconds, call, 20)
        yield _rejected(codes)
        for measure in seen.measures():
            yield measure


def _rejected(codes: Counter[str]) -> Measure:
    """Return how many calls were not even understood: the attack would prove nothing."""
    return Measure("expensive calls that are invalid", codes["INVALID_ARGUMENT"] + codes["NOT_FOUND"], 0)
