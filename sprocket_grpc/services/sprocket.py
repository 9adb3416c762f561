"""SprocketService."""

from sprocket.v1 import sprocket_pb2 as pb
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceServicer
from sprocket_grpc.services import Context
from sprocket_grpc.services.sprocket_batches import SprocketBatches
from sprocket_grpc.services.sprocket_creation import SprocketCreation
from sprocket_grpc.services.sprocket_deletion import SprocketDeletion
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import identifier, optional_text
from sprocket_grpc.storage.sprocket import SprocketStore

SPROCKET = Resource(
    "sprocket",
    pb.Sprocket,
    {
        "display_name": optional_text(63),
        "sprocket_type_id": identifier,
        "factory_id": identifier,
    },
)

_STORE = SprocketStore()
"""Its statements are compiled once for all servers of the process."""


class SprocketService(SprocketServiceServicer):
    """The RPCs of sprockets; `sprocket.proto` documents them."""

    def __init__(self, dependencies: ServiceDependencies) -> None:
        self._standard = StandardMethods(SPROCKET, _STORE, dependencies)
        self._batches = SprocketBatches(_STORE, dependencies)
        self._creation = SprocketCreation(SPROCKET, _STORE, self._standard, dependencies)
        self._deletion = SprocketDeletion(_STORE, self._standard, dependencies)

    async def CreateSprocket(self, request: pb.CreateSprocketRequest, context: Context) -> pb.CreateSprocketResponse:
        return await self._creation.create(request, pb.CreateSprocketResponse())

    async def GetSprocket(self, request: pb.GetSprocketRequest, context: Context) -> pb.GetSprocketResponse:
        return await self._standard.get(request, pb.GetSprocketResponse())

    async def ListSprockets(self, request: pb.ListSprocketsRequest, context: Context) -> pb.ListSprocketsResponse:
        return await self._standard.list(request, pb.ListSprocketsResponse())

    async def UpdateSprocket(self, request: pb.UpdateSprocketRequest, context: Context) -> pb.UpdateSprocketResponse:
        return await self._standard.update(request, pb.UpdateSprocketResponse())

    async def DeleteSprocket(self, request: pb.DeleteSprocketRequest, context: Context) -> pb.DeleteSprocketResponse:
        return await self._deletion.delete(request, pb.DeleteSprocketResponse())

    async def BatchGetSprockets(
        self, request: pb.BatchGetSprocketsRequest, context: Context
    ) -> pb.BatchGetSprocketsResponse:
        return await self._standard.batch_get(request, pb.BatchGetSprocketsResponse())

    async def BatchCreateSprockets(
        self, request: pb.BatchCreateSprocketsRequest, context: Context
    ) -> pb.BatchCreateSprocketsResponse:
        return await self._standard.batch_create(request, pb.BatchCreateSprocketsResponse())

    async def BatchDeleteSprockets(
        self, request: pb.BatchDeleteSprocketsRequest, context: Context
    ) -> pb.BatchDeleteSprocketsResponse:
        return await self._batches.delete(request, pb.BatchDeleteSprocketsResponse())
