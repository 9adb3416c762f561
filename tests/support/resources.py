"""Every resource, described by a `Case`, so that one suite tests the same behaviour of all of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor

from sprocket.v1 import factory_pb2, location_pb2, sprocket_pb2, sprocket_type_pb2
from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.location_pb2 import Location
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket.v1.sprocket_type_pb2 import SprocketType
from tests.support.service import Service

MISSING_ID = "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55"
"""An id of no resource."""


def location(**fields: Any) -> Location:
    """Make a valid location, with some fields replaced."""
    valid: dict[str, Any] = {"display_name": "Springfield", "address": "123 Main St", "city": "Springfield"}
    return Location(**valid | {"postal_code": "62701", "country_code": "US"} | fields)


def sprocket_type(**fields: Any) -> SprocketType:
    """Make a valid sprocket type, with some fields replaced."""
    valid: dict[str, Any] = {"display_name": "Five", "teeth": 5, "pitch_mm": 1.0, "pitch_diameter_mm": 5.0}
    return SprocketType(**valid | {"outside_diameter_mm": 6.0} | fields)


async def create_location(service: Service, **fields: Any) -> Location:
    """Create a location."""
    request = location_pb2.CreateLocationRequest(location=location(**fields))
    return (await service.locations.CreateLocation(request)).location


async def create_sprocket_type(service: Service, **fields: Any) -> SprocketType:
    """Create a sprocket type."""
    request = sprocket_type_pb2.CreateSprocketTypeRequest(sprocket_type=sprocket_type(**fields))
    return (await service.sprocket_types.CreateSprocketType(request)).sprocket_type


async def factory(service: Service, **fields: Any) -> Factory:
    """Make a valid factory, with some fields replaced, and with a new location unless `location_id` is given."""
    location_id = fields.pop("location_id", None) or (await create_location(service)).id
    valid: dict[str, Any] = {"display_name": "Works", "location_id": location_id, "sprocket_production_goal": 10}
    return Factory(**valid | fields)


async def create_factory(service: Service, **fields: Any) -> Factory:
    """Create a factory."""
    request = factory_pb2.CreateFactoryRequest(factory=await factory(service, **fields))
    return (await service.factories.CreateFactory(request)).factory


async def sprocket(service: Service, **fields: Any) -> Sprocket:
    """Make a valid sprocket, with some fields replaced, and with a new type and factory unless they are given."""
    type_id = fields.pop("sprocket_type_id", None) or (await create_sprocket_type(service)).id
    factory_id = fields.pop("factory_id", None) or (await create_factory(service)).id
    valid: dict[str, Any] = {"display_name": "Cog", "sprocket_type_id": type_id, "factory_id": factory_id}
    return Sprocket(**valid | fields)


async def create_sprocket(service: Service, **fields: Any) -> Sprocket:
    """Create a sprocket."""
    request = sprocket_pb2.CreateSprocketRequest(sprocket=await sprocket(service, **fields))
    return (await service.sprockets.CreateSprocket(request)).sprocket


@dataclass(frozen=True)
class Case:
    """A resource in the conformance suite.

    Attributes:
        name: The name of its field in requests, such as `sprocket_type`.
        plural: The name of the repeated field in the response of a list, such as `sprocket_types`.
        pb: The module of its messages.
        kind: The name of its message, such as `SprocketType`.
        kinds: The plural of that name, as in the List method.
        message: Makes a valid message, with some fields replaced.
    """

    name: str
    plural: str
    pb: Any
    kind: str
    kinds: str
    message: Callable[..., Awaitable[Any]]

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of its message."""
        descriptor: Descriptor = self.pb.DESCRIPTOR.message_types_by_name[self.kind]
        return descriptor

    @property
    def has_force(self) -> bool:
        """Whether its Delete has `force`, because other resources can refer to it."""
        return "force" in self.pb.DESCRIPTOR.message_types_by_name[f"Delete{self.kind}Request"].fields_by_name

    def noun(self, verb: str) -> str:
        """Return the rest of the name of a method, after its verb."""
        return self.kinds if verb == "List" or verb.startswith("Batch") else self.kind

    def method(self, service: Service, verb: str) -> Callable[[Any], Awaitable[Any]]:
        """Return the client method of a verb, such as `Create`."""
        stub = getattr(import_module(f"{self.pb.__name__}_grpc"), f"{self.kind}ServiceStub")
        method: Callable[[Any], Awaitable[Any]] = getattr(stub(service.channel), verb + self.noun(verb))
        return method

    def request(self, verb: str, **fields: Any) -> Any:
        """Make the request of a verb."""
        return getattr(self.pb, f"{verb}{self.noun(verb)}Request")(**fields)

    async def create(self, service: Service, **fields: Any) -> Any:
        """Create a valid resource, with some fields replaced, and return it as in the response."""
        request = self.request("Create", **{self.name: await self.message(service, **fields)})
        return getattr(await self.method(service, "Create")(request), self.name)

    async def get(self, service: Service, identifier: str) -> Any:
        """Get a resource."""
        return getattr(await self.method(service, "Get")(self.request("Get", id=identifier)), self.name)

    async def update(self, service: Service, message: Any, paths: list[str] | None = None) -> Any:
        """Update a resource; without `paths`, the request has no mask."""
        request = self.request("Update", **{self.name: message})
        request.update_mask.paths.extend(paths or [])
        return getattr(await self.method(service, "Update")(request), self.name)

    async def delete(self, service: Service, identifier: str) -> None:
        """Delete a resource."""
        await self.method(service, "Delete")(self.request("Delete", id=identifier))

    async def page(self, service: Service, **fields: Any) -> tuple[list[Any], str]:
        """List one page, and return it with the token of the next page."""
        response = await self.method(service, "List")(self.request("List", **fields))
        return list(getattr(response, self.plural)), response.next_page_token


async def _location(_: Service, **fields: Any) -> Location:
    return location(**fields)


async def _sprocket_type(_: Service, **fields: Any) -> SprocketType:
    return sprocket_type(**fields)


LOCATION = Case("location", "locations", location_pb2, "Location", "Locations", _location)
SPROCKET_TYPE = Case(
    "sprocket_type", "sprocket_types", sprocket_type_pb2, "SprocketType", "SprocketTypes", _sprocket_type
)
FACTORY = Case("factory", "factories", factory_pb2, "Factory", "Factories", factory)
SPROCKET = Case("sprocket", "sprockets", sprocket_pb2, "Sprocket", "Sprockets", sprocket)

CASES = [LOCATION, SPROCKET_TYPE, FACTORY, SPROCKET]
"""All resources; each comes after the ones that it refers to."""

CASE_OF = {case.name: case for case in CASES}
"""The same by their names."""


class Reference(NamedTuple):
    """A field that holds the id of another resource."""

    case: Case
    field: str
    target: Case


def references_of(case: Case) -> list[Reference]:
    """Return the references of a resource: its fields that are called `<resource>_id`."""
    names = {f"{target.name}_id": target for target in CASES}
    fields = [field.name for field in case.descriptor.fields]
    return [Reference(case, field, names[field]) for field in fields if field in names]


REFERENCES = [reference for case in CASES for reference in references_of(case)]
"""The references of all resources."""
