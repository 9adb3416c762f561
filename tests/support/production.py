"""Calls that change the goal and the counter of factories."""

from typing import Any

from sprocket.v1.factory_pb2 import DeleteFactoryRequest, Factory, GetFactoryRequest, UpdateFactoryRequest
from sprocket.v1.sprocket_pb2 import DeleteSprocketRequest, Sprocket, UpdateSprocketRequest
from tests.support.service import Service


async def get_factory(service: Service, identifier: str) -> Factory:
    """Get a factory."""
    return (await service.factories.GetFactory(GetFactoryRequest(id=identifier))).factory


async def update_factory(service: Service, identifier: str, **fields: Any) -> Factory:
    """Update the given fields of a factory."""
    request = UpdateFactoryRequest(factory=Factory(id=identifier, **fields))
    request.update_mask.paths.extend(fields)
    return (await service.factories.UpdateFactory(request)).factory


async def delete_factory(service: Service, identifier: str) -> None:
    """Delete a factory."""
    await service.factories.DeleteFactory(DeleteFactoryRequest(id=identifier))


async def update_sprocket(service: Service, identifier: str, **fields: Any) -> Sprocket:
    """Update the given fields of a sprocket; another factory_id moves it."""
    request = UpdateSprocketRequest(sprocket=Sprocket(id=identifier, **fields))
    request.update_mask.paths.extend(fields)
    return (await service.sprockets.UpdateSprocket(request)).sprocket


async def delete_sprocket(service: Service, identifier: str) -> None:
    """Delete a sprocket."""
    await service.sprockets.DeleteSprocket(DeleteSprocketRequest(id=identifier))
