"""Two factories at one location with three sprockets of one type, and calls that change them.

Nothing refers to the location L1 and the type T1.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text

from sprocket.v1.factory_pb2 import BatchCreateFactoriesRequest, CreateFactoryRequest, DeleteFactoryRequest, Factory
from sprocket.v1.location_pb2 import DeleteLocationRequest, Location, UpdateLocationRequest
from sprocket.v1.sprocket_pb2 import (
    BatchCreateSprocketsRequest,
    BatchDeleteSprocketsRequest,
    CreateSprocketRequest,
    DeleteSprocketRequest,
    Sprocket,
)
from sprocket.v1.sprocket_type_pb2 import DeleteSprocketTypeRequest, SprocketType
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.resources import FACTORY, LOCATION, MISSING_ID, SPROCKET, SPROCKET_TYPE, location
from tests.support.row_locks import Row
from tests.support.service import Service


def _ids(count: int, kind: int) -> list[str]:
    return [f"01937f2e-7d1c-7a40-8a53-{kind:06}{number:06}" for number in range(count)]


L0, L1 = (Row("location", each) for each in _ids(2, 1))
T0, T1 = (Row("sprocket_type", each) for each in _ids(2, 2))
F0, F1 = (Row("factory", each) for each in _ids(2, 3))
S0, S1, S2 = (Row("sprocket", each) for each in _ids(3, 4))
R0, R1 = (Row("recorded_request", each) for each in _ids(2, 5))
K0, K1 = (Row("api_key", each) for each in _ids(2, 6))

# The greatest id first: rows that are locked in the order in which they are stored are locked in the wrong order.
_WORLD = f"""
INSERT INTO location SELECT id, now(), now(), 'a', 'b', '', 'c', '', 'd', 'CH'
    FROM unnest(ARRAY['{L1.id}', '{L0.id}']::uuid[]) AS id;
INSERT INTO sprocket_type SELECT id, now(), now(), 'a', 5, 1, 1, 1
    FROM unnest(ARRAY['{T1.id}', '{T0.id}']::uuid[]) AS id;
INSERT INTO factory VALUES
    ('{F1.id}', now(), now(), 'a', '{L0.id}', 1, 1, 1, 1),
    ('{F0.id}', now(), now(), 'a', '{L0.id}', 1, 2, 1, 1);
INSERT INTO chart_entry SELECT id, 1, 1, 1, sprocket_production_actual FROM factory;
INSERT INTO sprocket VALUES
    ('{S2.id}', now(), now(), '', '{T0.id}', '{F0.id}'),
    ('{S1.id}', now(), now(), '', '{T0.id}', '{F1.id}'),
    ('{S0.id}', now(), now(), '', '{T0.id}', '{F0.id}');
INSERT INTO recorded_request SELECT id, '2001-01-01', '', '' FROM unnest(ARRAY['{R1.id}', '{R0.id}']::uuid[]) AS id;
INSERT INTO api_key SELECT id, now(), 'a', '{{read}}', decode(repeat('00', 32), 'hex')
    FROM unnest(ARRAY['{K1.id}', '{K0.id}']::uuid[]) AS id;
"""  # noqa: S608  # our own ids

Call = Callable[[Service], Awaitable[Any]]


def _creation(**fields: Any) -> Call:
    made = Sprocket(sprocket_type_id=T1.id, factory_id=F0.id)
    return lambda service: service.sprockets.CreateSprocket(CreateSprocketRequest(sprocket=made, **fields))


def _batch(*factories: Row) -> Call:
    made = [Sprocket(sprocket_type_id=T1.id, factory_id=each.id) for each in factories]
    return lambda service: service.sprockets.BatchCreateSprockets(BatchCreateSprocketsRequest(sprockets=made))


def _batch_of_types(service: Service) -> Awaitable[Any]:
    made = [Sprocket(sprocket_type_id=each.id, factory_id=F0.id) for each in (T1, T0)]
    return service.sprockets.BatchCreateSprockets(BatchCreateSprocketsRequest(sprockets=made))


def _batch_deletion(*rows: Row) -> Call:
    request = BatchDeleteSprocketsRequest(ids=[each.id for each in rows])
    return lambda service: service.sprockets.BatchDeleteSprockets(request)


def _new_factory(service: Service) -> Awaitable[Any]:
    made = Factory(display_name="a", location_id=L1.id, sprocket_production_goal=1)
    return service.factories.CreateFactory(CreateFactoryRequest(factory=made))


def _batch_of_factories(service: Service) -> Awaitable[Any]:
    made = [Factory(display_name="a", location_id=each.id) for each in (L1, L0)]
    return service.factories.BatchCreateFactories(BatchCreateFactoriesRequest(factories=made))


def upsert(service: Service) -> Awaitable[Any]:
    """Update a location that does not exist, with allow_missing."""
    message = location(id=MISSING_ID)
    return service.locations.UpdateLocation(UpdateLocationRequest(location=message, allow_missing=True))


CREATIONS: dict[str, Call] = {
    "a creation": _creation(),
    "a creation with a request id": _creation(request_id=MISSING_ID),
    "a dry run": _creation(validate_only=True),
    "a batch": _batch(F0),
}
CALLS: dict[str, Call] = CREATIONS | {
    "a new factory": _new_factory,
    "a batch of factories": _batch_of_factories,
    "a batch in two factories": _batch(F1, F0),
    "a batch of two types": _batch_of_types,
    "a deletion": lambda each: each.sprockets.DeleteSprocket(DeleteSprocketRequest(id=S0.id)),
    "a batch deletion": _batch_deletion(S2, S1, S0),
    "a move": lambda each: SPROCKET.update(each, Sprocket(id=S0.id, factory_id=F1.id)),
    "a move back": lambda each: SPROCKET.update(each, Sprocket(id=S1.id, factory_id=F0.id)),
    "a new type": lambda each: SPROCKET.update(each, Sprocket(id=S0.id, sprocket_type_id=T1.id)),
    "a relocation": lambda each: FACTORY.update(each, Factory(id=F0.id, location_id=L1.id)),
    "a new goal": lambda each: FACTORY.update(each, Factory(id=F0.id, sprocket_production_goal=7)),
    "a new city": lambda each: LOCATION.update(each, Location(id=L0.id, city="x")),
    "more teeth": lambda each: SPROCKET_TYPE.update(each, SprocketType(id=T0.id, teeth=7)),
    "a factory's end": lambda each: each.factories.DeleteFactory(DeleteFactoryRequest(id=F0.id, force=True)),
    "a location's end": lambda each: each.locations.DeleteLocation(DeleteLocationRequest(id=L0.id, force=True)),
    "a type's end": lambda each: each.sprocket_types.DeleteSprocketType(
        DeleteSprocketTypeRequest(id=T0.id, force=True)
    ),
}


def fill(url: str) -> None:
    """Add these rows to a database."""
    with create_plain_engine(url).begin() as connection:
        for statement in _WORLD.split(";\n")[:-1]:
            connection.execute(text(statement))
