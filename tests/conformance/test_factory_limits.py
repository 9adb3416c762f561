"""Callers that are limited to factories write to no others, follow no other charts, and learn nothing about them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from sprocket.v1 import factory_pb2, location_pb2, sprocket_pb2, sprocket_type_pb2
from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refusal, refuses
from tests.conformance.writes import dump
from tests.support.callers import Metadata, bearer, create_key
from tests.support.resources import MISSING_ID, SPROCKET, create_factory, create_sprocket
from tests.support.service import Service, running_service

PERMISSION_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Limited:
    """A caller that is limited to one factory.

    Attributes:
        open: The service, without authentication.
        guarded: The service on the same database, with authentication.
        caller: The metadata of the caller.
        mine: The factory, with one sprocket.
        my_sprocket: Its sprocket.
    """

    open: Service
    guarded: Service
    caller: Metadata
    mine: Factory
    my_sprocket: Sprocket

    def new(self, factory_id: str) -> Sprocket:
        """Return a valid sprocket of a factory."""
        return Sprocket(display_name="new", sprocket_type_id=self.my_sprocket.sprocket_type_id, factory_id=factory_id)

    def stub(self, kind: str, seconds: float = PATIENCE_SECONDS) -> Callable[..., Awaitable[Any]]:
        """Return a function that calls a method of the resources' services as the caller, with a time-out."""
        services = (
            *(self.guarded.sprockets, self.guarded.factories, self.guarded.locations),
            self.guarded.sprocket_types,
        )
        method: Any = next(getattr(each, kind) for each in services if hasattr(each, kind))
        return lambda request: method(request, metadata=self.caller, timeout=seconds)


@pytest.fixture
async def limited(service: Service, database_url: str) -> AsyncIterator[Limited]:
    mine = await create_factory(service)
    my_sprocket = await create_sprocket(service, factory_id=mine.id)
    caller = bearer(create_key(database_url, "admin", factory_ids=[mine.id]).text)
    async with running_service(database_url, Settings(api_keys=True)) as guarded:
        yield Limited(service, guarded, caller, mine, my_sprocket)


Make = Callable[[Limited, Factory, Sprocket], tuple[str, Any]]
"""Makes the name of a method, and a request that reaches a factory and perhaps its sprocket."""


def create(limited: Limited, factory: Factory, **fields: Any) -> tuple[str, Any]:
    return "CreateSprocket", sprocket_pb2.CreateSprocketRequest(sprocket=limited.new(factory.id), **fields)


def update(message: Sprocket, *paths: str, **fields: Any) -> tuple[str, Any]:
    request = sprocket_pb2.UpdateSprocketRequest(sprocket=message, **fields)
    request.update_mask.paths.extend(paths)
    return "UpdateSprocket", request


def delete(sprocket: Sprocket, **fields: Any) -> tuple[str, Any]:
    return "DeleteSprocket", sprocket_pb2.DeleteSprocketRequest(id=sprocket.id, **fields)


def update_factory(factory: Factory, **fields: Any) -> tuple[str, Any]:
    message = Factory(id=factory.id, display_name="other", location_id=factory.location_id, sprocket_production_goal=99)
    return "UpdateFactory", factory_pb2.UpdateFactoryRequest(factory=message, **fields)


A_REQUEST = "01890a5d-ac96-774b-bcce-b302099a8057"
A_SPROCKET = "01890a5d-ac96-774b-bcce-b302099a8058"

WRITES: dict[str, Make] = {
    "create": lambda limited, factory, _: create(limited, factory),
    "create as a dry run": lambda limited, factory, _: create(limited, factory, validate_only=True),
    "create with a request id": lambda limited, factory, _: create(limited, factory, request_id=A_REQUEST),
    "batch create": lambda limited, factory, _: (
        "BatchCreateSprockets",
        sprocket_pb2.BatchCreateSprocketsRequest(sprockets=[limited.new(limited.mine.id), limited.new(factory.id)]),
    ),
    "update": lambda _, __, sprocket: update(Sprocket(id=sprocket.id, display_name="x"), "display_name"),
    "update of nothing": lambda _, __, sprocket: update(sprocket),
    "update as a dry run": lambda _, __, sprocket: update(
        Sprocket(id=sprocket.id, display_name="x"), "display_name", validate_only=True
    ),
    "update, or create": lambda _, __, sprocket: update(
        Sprocket(id=sprocket.id, display_name="x"), "display_name", allow_missing=True
    ),
    "create by update": lambda limited, factory, _: update(
        Sprocket(id=A_SPROCKET, sprocket_type_id=limited.my_sprocket.sprocket_type_id, factory_id=factory.id),
        allow_missing=True,
    ),
    "move there": lambda limited, factory, _: update(
        Sprocket(id=limited.my_sprocket.id, factory_id=factory.id), "factory_id"
    ),
    "move away": lambda limited, _, sprocket: update(
        Sprocket(id=sprocket.id, factory_id=limited.mine.id), "factory_id"
    ),
    "delete": lambda _, __, sprocket: delete(sprocket),
    "delete as a dry run": lambda _, __, sprocket: delete(sprocket, validate_only=True),
    "delete with an etag": lambda _, __, sprocket: delete(sprocket, etag=sprocket.etag),
    "delete if there": lambda _, __, sprocket: delete(sprocket, allow_missing=True),
    "batch delete": lambda limited, _, sprocket: (
        "BatchDeleteSprockets",
        sprocket_pb2.BatchDeleteSprocketsRequest(ids=list({limited.my_sprocket.id, sprocket.id})),
    ),
    "update the factory": lambda _, factory, __: update_factory(factory),
    "update the factory, or create it": lambda _, factory, __: update_factory(factory, allow_missing=True),
    "delete the factory with its sprockets": lambda _, factory, __: (
        "DeleteFactory",
        factory_pb2.DeleteFactoryRequest(id=factory.id, force=True),
    ),
    "delete the location with its factories": lambda _, factory, __: (
        "DeleteLocation",
        location_pb2.DeleteLocationRequest(id=factory.location_id, force=True),
    ),
    "delete the type with its sprockets": lambda _, __, sprocket: (
        "DeleteSprocketType",
        sprocket_type_pb2.DeleteSprocketTypeRequest(id=sprocket.sprocket_type_id, force=True),
    ),
}


@pytest.mark.parametrize("make", WRITES.values(), ids=WRITES)
async def test_a_write_to_another_factory_is_refused_and_changes_nothing(limited: Limited, make: Make) -> None:
    other = await create_factory(limited.open)
    sprocket = await create_sprocket(limited.open, factory_id=other.id)
    method, request = make(limited, other, sprocket)
    before = await dump(limited.open)
    with refuses(*PERMISSION_DENIED) as failure:
        await limited.stub(method)(request)
    assert failure.info.metadata["right"] == "sprocket.factories"
    assert failure.info.metadata["values"] in {other.id, sprocket.id}
    assert await dump(limited.open) == before


@pytest.mark.parametrize("make", WRITES.values(), ids=WRITES)
async def test_the_same_write_to_the_own_factory_succeeds(limited: Limited, make: Make) -> None:
    method, request = make(limited, limited.mine, limited.my_sprocket)
    await limited.stub(method)(request)


def new_factories(location_id: str) -> list[tuple[str, Any]]:
    """Return the methods and requests that create factories, of each kind."""
    new: Any = Factory(display_name="new", location_id=location_id)
    kinds: list[dict[str, Any]] = [{}, {"validate_only": True}, {"request_id": A_REQUEST}]
    return [
        *(("CreateFactory", factory_pb2.CreateFactoryRequest(factory=new, **each)) for each in kinds),
        *(("BatchCreateFactories", factory_pb2.BatchCreateFactoriesRequest(factories=[new], **each)) for each in kinds),
    ]


async def test_a_limited_caller_creates_no_factories(limited: Limited) -> None:
    for method, request in new_factories(limited.mine.location_id):
        with refuses(*PERMISSION_DENIED) as failure:
            await limited.stub(method)(request)
        assert failure.info.metadata == {"right": "sprocket.factories"}


# Others create with the id, change nothing that has an id of its own, or name factories that the caller may see.
HIDING = {
    name: make
    for name, make in WRITES.items()
    if name not in {"create by update", "update, or create", "move away"} and not name.startswith("delete the ")
} | {"delete the factory": WRITES["delete the factory with its sprockets"]}


@pytest.mark.parametrize("make", HIDING.values(), ids=HIDING)
async def test_a_refusal_does_not_tell_whether_the_factory_or_sprocket_exists(limited: Limited, make: Make) -> None:
    other = await create_factory(limited.open)
    sprocket = await create_sprocket(limited.open, factory_id=other.id)
    gone = Sprocket.FromString(sprocket.SerializeToString())
    gone.id = MISSING_ID
    missing = Factory(id=MISSING_ID, location_id=other.location_id)
    messages = []
    for method, request in (make(limited, other, sprocket), make(limited, missing, gone)):
        failure = await refusal(limited.stub(method)(request), *PERMISSION_DENIED)
        text = json.dumps([failure.message, dict(failure.info.metadata)])
        messages.append(text.replace(other.id, "ID").replace(sprocket.id, "ID").replace(MISSING_ID, "ID"))
    assert messages[0] == messages[1]


async def test_a_refused_batch_names_sprockets_of_other_factories_and_missing_ones_alike(limited: Limited) -> None:
    ids = [(await create_sprocket(limited.open)).id, limited.my_sprocket.id, MISSING_ID]
    request = sprocket_pb2.BatchDeleteSprocketsRequest(ids=ids)
    failure = await refusal(limited.stub("BatchDeleteSprockets")(request), *PERMISSION_DENIED)
    assert failure.info.metadata["values"] == f"{ids[0]},{MISSING_ID}"


async def test_only_the_own_chart_is_streamed(limited: Limited) -> None:
    factories, other = limited.guarded.factories, await create_factory(limited.open)
    own = factory_pb2.GetFactoryChartRequest(factory_id=limited.mine.id)
    assert [each async for each in factories.GetFactoryChart(own, metadata=limited.caller)]
    for identifier in (other.id, MISSING_ID):
        for follow in (False, True):
            one = factory_pb2.GetFactoryChartRequest(factory_id=identifier, follow=follow)
            with refuses(*PERMISSION_DENIED):
                [_ async for _ in factories.GetFactoryChart(one, metadata=limited.caller)]
        many = factory_pb2.FollowFactoryChartsRequest(factory_ids=[limited.mine.id, identifier])
        with refuses(*PERMISSION_DENIED):
            [_ async for _ in factories.FollowFactoryCharts(many, metadata=limited.caller)]


async def test_resources_of_other_factories_can_still_be_read(limited: Limited) -> None:
    other = await create_sprocket(limited.open)
    found = await limited.stub("GetSprocket")(sprocket_pb2.GetSprocketRequest(id=other.id))
    assert found.sprocket == other


async def test_a_limited_caller_is_refused_where_others_share_a_commit_with_it(
    limited: Limited, database_url: str
) -> None:
    other = await create_factory(limited.open)
    unlimited = bearer(create_key(database_url, "write").text)
    request = sprocket_pb2.CreateSprocketRequest(sprocket=limited.new(other.id))
    create_one: Any = limited.guarded.sprockets.CreateSprocket
    callers = [unlimited, limited.caller] * 10
    ends = await asyncio.gather(
        *(create_one(request, metadata=each, timeout=PATIENCE_SECONDS) for each in callers), return_exceptions=True
    )
    assert [isinstance(end, grpc.aio.AioRpcError) for end in ends] == [False, True] * 10
    assert len((await SPROCKET.page(limited.open, page_size=1000, filter=f'factory_id = "{other.id}"'))[0]) == 10
