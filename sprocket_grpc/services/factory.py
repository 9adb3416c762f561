"""FactoryService."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from sprocket.v1 import factory_pb2 as pb
from sprocket.v1.factory_pb2_grpc import FactoryServiceServicer
from sprocket_grpc.services import Context
from sprocket_grpc.services.charts.rpcs import FactoryCharts
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import identifier, not_negative, required_text
from sprocket_grpc.storage.factory import FactoryStore

FACTORY = Resource(
    "factory",
    pb.Factory,
    {
        "display_name": required_text(63),
        "location_id": identifier,
        "sprocket_production_goal": not_negative,
    },
)

_STORE = FactoryStore()
"""Its statements are compiled once for all servers of the process."""


class FactoryService(FactoryServiceServicer):
    """The RPCs of factories; `factory.proto` documents them."""

    def __init__(self, dependencies: ServiceDependencies, charts: FactoryCharts) -> None:
        self._standard = StandardMethods(FACTORY, _STORE, dependencies)
        self._charts = charts

    async def CreateFactory(self, request: pb.CreateFactoryRequest, context: Context) -> pb.CreateFactoryResponse:
        return await self._standard.create(request, pb.CreateFactoryResponse())

    async def GetFactory(self, request: pb.GetFactoryRequest, context: Context) -> pb.GetFactoryResponse:
        return await self._standard.get(request, pb.GetFactoryResponse())

    async def ListFactories(self, request: pb.ListFactoriesRequest, context: Context) -> pb.ListFactoriesResponse:
        return await self._standard.list(request, pb.ListFactoriesResponse())

    async def UpdateFactory(self, request: pb.UpdateFactoryRequest, context: Context) -> pb.UpdateFactoryResponse:
        return await self._standard.update(request, pb.UpdateFactoryResponse())

    async def DeleteFactory(self, request: pb.DeleteFactoryRequest, context: Context) -> pb.DeleteFactoryResponse:
        return await self._standard.delete(request, pb.DeleteFactoryResponse(), force=request.force)

    async def BatchGetFactories(
        self, request: pb.BatchGetFactoriesRequest, context: Context
    ) -> pb.BatchGetFactoriesResponse:
        return await self._standard.batch_get(request, pb.BatchGetFactoriesResponse())

    async def BatchCreateFactories(
        self, request: pb.BatchCreateFactoriesRequest, context: Context
    ) -> pb.BatchCreateFactoriesResponse:
        return await self._standard.batch_create(request, pb.BatchCreateFactoriesResponse())

    async def GetFactoryChart(
        self, request: pb.GetFactoryChartRequest, context: Context
    ) -> AsyncIterator[pb.GetFactoryChartResponse]:
        async with aclosing(self._charts.get(request)) as responses:
            async for response in responses:
                yield response

    async def FollowFactoryCharts(
        self, request: pb.FollowFactoryChartsRequest, context: Context
    ) -> AsyncIterator[pb.FollowFactoryChartsResponse]:
        async with aclosing(self._charts.follow(request)) as responses:
            async for response in responses:
                yield response
