"""The limit of charts that are followed, in all and by one caller."""

import asyncio
from typing import Any

import grpc

from sprocket.v1.factory_pb2 import FollowFactoryChartsRequest
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refuses
from tests.support.callers import Metadata, bearer, create_key
from tests.support.resources import create_factory
from tests.support.service import Service, running_service


async def follow(service: Service, ids: list[str], metadata: Metadata = ()) -> Any:
    """Open a stream that follows charts, and return it after its first response."""
    stream: Any = service.factories.FollowFactoryCharts(FollowFactoryChartsRequest(factory_ids=ids), metadata=metadata)
    await stream.read()
    return stream


async def test_charts_over_the_limit_are_refused_until_others_are_no_longer_followed(database_url: str) -> None:
    async with running_service(database_url, Settings(followed_chart_limit=3)) as served:
        ids = [(await create_factory(served)).id for _ in range(3)]
        first = await follow(served, ids[:2])
        with refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED") as failure:
            stream = await follow(served, ids[1:])
            await stream.read()
        assert failure.info.metadata == {"limit": "3 followed charts"}
        first.cancel()
        await _until_followed(served, ids)


async def _until_followed(service: Service, ids: list[str]) -> None:
    """Follow charts, as often as the limit refuses it: the server ends a cancelled stream a moment later."""
    while True:
        stream = await follow(service, ids)
        try:
            async with asyncio.timeout(0.5):
                await stream.read()  # an error, or nothing for as long as no progress is due
        except TimeoutError:
            stream.cancel()
            return
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017  # until there is room


async def test_one_caller_may_follow_half_of_them(database_url: str) -> None:
    async with running_service(database_url) as unguarded:
        ids = [(await create_factory(unguarded)).id for _ in range(3)]
    async with running_service(database_url, Settings(api_keys=True, followed_chart_limit=4)) as served:
        greedy, modest = (bearer(create_key(database_url, "read", name=name).text) for name in ("greedy", "modest"))
        held = await follow(served, ids[:2], greedy)
        with refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_PRINCIPAL_LIMIT"):
            stream = await follow(served, ids[2:], greedy)
            await stream.read()
        other = await follow(served, ids[:2], modest)
        for each in (held, other):
            each.cancel()
