"""LocationService."""

from sprocket.v1 import location_pb2 as pb
from sprocket.v1.location_pb2_grpc import LocationServiceServicer
from sprocket_grpc.services import Context
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import country_code, optional_text, required_text
from sprocket_grpc.storage.cascade import delete_factories_of_location
from sprocket_grpc.storage.resource import ResourceStore
from sprocket_grpc.storage.tables import location

LOCATION = Resource(
    "location",
    pb.Location,
    {
        "display_name": required_text(63),
        "address": required_text(200),
        "address_2": optional_text(200),
        "city": required_text(100),
        "administrative_area": optional_text(100),
        "postal_code": required_text(20),
        "country_code": country_code,
    },
)

_STORE = ResourceStore(location, delete_factories_of_location)
"""Its statements are compiled once for all servers of the process."""


class LocationService(LocationServiceServicer):
    """The RPCs of locations; `location.proto` documents them."""

    def __init__(self, dependencies: ServiceDependencies) -> None:
        self._standard = StandardMethods(LOCATION, _STORE, dependencies)

    async def CreateLocation(self, request: pb.CreateLocationRequest, context: Context) -> pb.CreateLocationResponse:
        return await self._standard.create(request, pb.CreateLocationResponse())

    async def GetLocation(self, request: pb.GetLocationRequest, context: Context) -> pb.GetLocationResponse:
        return await self._standard.get(request, pb.GetLocationResponse())

    async def ListLocations(self, request: pb.ListLocationsRequest, context: Context) -> pb.ListLocationsResponse:
        return await self._standard.list(request, pb.ListLocationsResponse())

    async def UpdateLocation(self, request: pb.UpdateLocationRequest, context: Context) -> pb.UpdateLocationResponse:
        return await self._standard.update(request, pb.UpdateLocationResponse())

    async def DeleteLocation(self, request: pb.DeleteLocationRequest, context: Context) -> pb.DeleteLocationResponse:
        return await self._standard.delete(request, pb.DeleteLocationResponse(), force=request.force)

    async def BatchGetLocations(
        self, request: pb.BatchGetLocationsRequest, context: Context
    ) -> pb.BatchGetLocationsResponse:
        return await self._standard.batch_get(request, pb.BatchGetLocationsResponse())

    async def BatchCreateLocations(
        self, request: pb.BatchCreateLocationsRequest, context: Context
    ) -> pb.BatchCreateLocationsResponse:
        return await self._standard.batch_create(request, pb.BatchCreateLocationsResponse())
