"""SprocketTypeService."""

from sprocket.v1 import sprocket_type_pb2 as pb
from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceServicer
from sprocket_grpc.services import Context
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import between, positive, required_text
from sprocket_grpc.storage.cascade import delete_sprockets_of_type
from sprocket_grpc.storage.resource import ResourceStore
from sprocket_grpc.storage.tables import sprocket_type

SPROCKET_TYPE = Resource(
    "sprocket_type",
    pb.SprocketType,
    {
        "display_name": required_text(63),
        "teeth": between(1, 10_000),
        "pitch_mm": positive,
        "pitch_diameter_mm": positive,
        "outside_diameter_mm": positive,
    },
)

_STORE = ResourceStore(sprocket_type, delete_sprockets_of_type)
"""Its statements are compiled once for all servers of the process."""


class SprocketTypeService(SprocketTypeServiceServicer):
    """The RPCs of sprocket types; `sprocket_type.proto` documents them."""

    def __init__(self, dependencies: ServiceDependencies) -> None:
        self._standard = StandardMethods(SPROCKET_TYPE, _STORE, dependencies)

    async def CreateSprocketType(
        self, request: pb.CreateSprocketTypeRequest, context: Context
    ) -> pb.CreateSprocketTypeResponse:
        return await self._standard.create(request, pb.CreateSprocketTypeResponse())

    async def GetSprocketType(self, request: pb.GetSprocketTypeRequest, context: Context) -> pb.GetSprocketTypeResponse:
        return await self._standard.get(request, pb.GetSprocketTypeResponse())

    async def ListSprocketTypes(
        self, request: pb.ListSprocketTypesRequest, context: Context
    ) -> pb.ListSprocketTypesResponse:
        return await self._standard.list(request, pb.ListSprocketTypesResponse())

    async def UpdateSprocketType(
        self, request: pb.UpdateSprocketTypeRequest, context: Context
    ) -> pb.UpdateSprocketTypeResponse:
        return await self._standard.update(request, pb.UpdateSprocketTypeResponse())

    async def DeleteSprocketType(
        self, request: pb.DeleteSprocketTypeRequest, context: Context
    ) -> pb.DeleteSprocketTypeResponse:
        return await self._standard.delete(request, pb.DeleteSprocketTypeResponse(), force=request.force)

    async def BatchGetSprocketTypes(
        self, request: pb.BatchGetSprocketTypesRequest, context: Context
    ) -> pb.BatchGetSprocketTypesResponse:
        return await self._standard.batch_get(request, pb.BatchGetSprocketTypesResponse())

    async def BatchCreateSprocketTypes(
        self, request: pb.BatchCreateSprocketTypesRequest, context: Context
    ) -> pb.BatchCreateSprocketTypesResponse:
        return await self._standard.batch_create(request, pb.BatchCreateSprocketTypesResponse())
