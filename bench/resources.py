"""Creates the resources for measurements, through the service."""

from itertools import islice
from typing import NamedTuple

import grpc

from sprocket.v1.factory_pb2 import CreateFactoryRequest, Factory
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, Location
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_type_pb2 import CreateSprocketTypeRequest, SprocketType
from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceStub

_AT_ONCE = 50  # few enough that no call times out waiting for a connection of the server's pool

_LOCATION = Location(
    display_name="Springfield", address="123 Main St", city="Springfield", postal_code="62701", country_code="US"
)
_TYPE = SprocketType(display_name="Five", teeth=5, pitch_mm=1, pitch_diameter_mm=5, outside_diameter_mm=6)


class Resources(NamedTuple):
    """The ids of the created resources."""

    factory_ids: list[str]
    sprocket_type_id: str
    location_id: str


def create_resources(address: str, factories: int) -> Resources:
    """Create a location, a sprocket type, and `factories` factories, each with one entry in its chart."""
    with grpc.insecure_channel(address) as channel:
        location = LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=_LOCATION)).location
        request = CreateSprocketTypeRequest(sprocket_type=_TYPE)
        sprocket_type = SprocketTypeServiceStub(channel).CreateSprocketType(request).sprocket_type
        return Resources(_create_factories(channel, location.id, factories), sprocket_type.id, location.id)


def _create_factories(channel: grpc.Channel, location_id: str, count: int) -> list[str]:
    create = FactoryServiceStub(channel).CreateFactory
    requests = (
        CreateFactoryRequest(
            factory=Factory(display_name=f"Works {n}", location_id=location_id, sprocket_production_goal=10)
        )
        for n in range(count)
    )
    ids: list[str] = []
    while calls := [create.future(request) for request in islice(requests, _AT_ONCE)]:
        ids.extend(call.result().factory.id for call in calls)
    return ids
