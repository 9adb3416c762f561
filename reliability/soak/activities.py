"""What users do: writes that leave the database as large as it was, reads, streams, and calls that end early."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

from reliability.soak.user import User
from sprocket.v1 import factory_pb2, sprocket_pb2
from sprocket.v1.audit_pb2 import ListAuditEntriesRequest

Activity: TypeAlias = Callable[[User], Awaitable[None]]

_SPROCKETS = 1000
"""The number of sprockets that the database stays at."""

_BATCH = 20
_LONGEST_FOLLOW_SECONDS = 10
_LONGEST_LIFE_SECONDS = 0.02  # of a call that is cancelled, or whose deadline passes: some before they are sent

_FILTERS = ("", 'display_name = "Cog 1*"', "create_time > 2020-01-01T00:00:00Z", 'NOT display_name = "Cog 7"')
_ORDERS = ("", "display_name", "create_time desc", "update_time, id desc")


async def create_or_delete(user: User) -> None:
    """Create a sprocket with a request id, or delete one."""
    identifiers, request_id = user.stock.sprocket_ids, str(uuid.uuid4())
    if len(identifiers) < _SPROCKETS:
        request = sprocket_pb2.CreateSprocketRequest(sprocket=user.sprocket(), request_id=request_id)
        if made := await user.call("CreateSprocket", request):
            identifiers.append(made.sprocket.id)
    else:
        identifier = identifiers.pop(user.draw.randrange(len(identifiers)))
        await user.call("DeleteSprocket", sprocket_pb2.DeleteSprocketRequest(id=identifier, request_id=request_id))


async def create_or_delete_batch(user: User) -> None:
    """Create a batch, or delete one."""
    identifiers = user.stock.sprocket_ids
    if len(identifiers) < _SPROCKETS:
        sprockets = [user.sprocket() for _ in range(_BATCH)]
        request = sprocket_pb2.BatchCreateSprocketsRequest(sprockets=sprockets, request_id=str(uuid.uuid4()))
        if made := await user.call("BatchCreateSprockets", request):
            identifiers += [sprocket.id for sprocket in made.sprockets]
    else:
        chosen, identifiers[:_BATCH] = identifiers[:_BATCH], []
        await user.call("BatchDeleteSprockets", sprocket_pb2.BatchDeleteSprocketsRequest(ids=chosen))


async def update(user: User) -> None:
    """Rename a sprocket, set a goal, and try the same as a dry run."""
    sprocket = sprocket_pb2.Sprocket(id=user.sprocket_id, display_name=f"Cog {user.draw.randrange(1000)}")
    await user.call("UpdateSprocket", sprocket_pb2.UpdateSprocketRequest(sprocket=sprocket))
    factory = factory_pb2.Factory(id=user.factory_id, sprocket_production_goal=user.draw.randrange(1, 1000))
    for dry in (True, False):
        await user.call("UpdateFactory", factory_pb2.UpdateFactoryRequest(factory=factory, validate_only=dry))


async def live_and_die(user: User) -> None:
    """Create, get, update, list and delete a location, a sprocket type or a factory, and create a batch of one."""
    name = user.draw.choice(("location", "sprocket_type", "factory"))
    pb: Any = import_module(f"sprocket.v1.{name}_pb2")
    kind, kinds, many = _KINDS[name]
    made = await user.call(f"Create{kind}", getattr(pb, f"Create{kind}Request")(**{name: getattr(user, name)()}))
    if not made:
        return
    resource = getattr(made, name)
    resource.display_name = "Renamed"
    await user.call(f"Update{kind}", getattr(pb, f"Update{kind}Request")(**{name: resource}))
    await user.call(f"BatchGet{kinds}", getattr(pb, f"BatchGet{kinds}Request")(ids=[resource.id]))
    await user.call(f"Get{kind}", getattr(pb, f"Get{kind}Request")(id=resource.id))
    await user.call(f"List{kinds}", getattr(pb, f"List{kinds}Request")(page_size=10, show_total_size=True))
    batch = await user.call(f"BatchCreate{kinds}", getattr(pb, f"BatchCreate{kinds}Request")(**{many: [resource]}))
    for each in [resource, *(getattr(batch, many) if batch else [])]:
        await user.call(f"Delete{kind}", getattr(pb, f"Delete{kind}Request")(id=each.id))


_KINDS = {
    "location": ("Location", "Locations", "locations"),
    "sprocket_type": ("SprocketType", "SprocketTypes", "sprocket_types"),
    "factory": ("Factory", "Factories", "factories"),
}


async def get(user: User) -> None:
    """Get a sprocket, and then several."""
    await user.call("GetSprocket", sprocket_pb2.GetSprocketRequest(id=user.sprocket_id))
    identifiers = [user.sprocket_id for _ in range(_BATCH)]
    await user.call("BatchGetSprockets", sprocket_pb2.BatchGetSprocketsRequest(ids=identifiers))


async def page(user: User) -> None:
    """Go through a few pages of a drawn listing, which may be left before its end."""
    condition, order = user.draw.choice(_FILTERS), user.draw.choice(_ORDERS)
    request = sprocket_pb2.ListSprocketsRequest(page_size=100, filter=condition, order_by=order)
    for _ in range(user.draw.randint(1, 5)):
        response = await user.call("ListSprockets", request)
        if not response or not response.next_page_token:
            return
        request.page_token = response.next_page_token


async def audit(user: User) -> None:
    """List the newest audit entries."""
    await user.call("ListAuditEntries", ListAuditEntriesRequest(page_size=20, order_by="id desc"))


async def read_chart(user: User) -> None:
    """Read a downsampled chart to its end."""
    call = user.begin("GetFactoryChart", factory_pb2.GetFactoryChartRequest(factory_id=user.factory_id, max_points=500))
    async for _ in call:
        pass
    user.stock.statuses["GetFactoryChart", await call.code()] += 1


async def follow(user: User) -> None:
    """Follow one chart or all for a while, and leave."""
    method, request = user.draw.choice(
        (
            ("GetFactoryChart", factory_pb2.GetFactoryChartRequest(factory_id=user.factory_id, follow=True)),
            ("FollowFactoryCharts", factory_pb2.FollowFactoryChartsRequest(factory_ids=user.stock.factory_ids)),
        )
    )
    request.max_points = 100
    call = user.begin(method, request, None)
    with suppress(TimeoutError):
        async with asyncio.timeout(user.draw.uniform(0, _LONGEST_FOLLOW_SECONDS)):
            async for _ in call:
                pass
    call.cancel()
    user.stock.statuses[method, await call.code()] += 1


async def break_off(user: User) -> None:
    """Cancel a whole chart after its first response, or before it."""
    call = user.begin("GetFactoryChart", factory_pb2.GetFactoryChartRequest(factory_id=user.factory_id))
    if user.draw.random() < 0.5:  # a coin
        await call.read()
    call.cancel()


async def cancel(user: User) -> None:
    """Cancel a read or a write after a few milliseconds."""
    request = sprocket_pb2.CreateSprocketRequest(sprocket=user.sprocket(), validate_only=True)
    for method, message in (("CreateSprocket", request), ("ListSprockets", sprocket_pb2.ListSprocketsRequest())):
        call = user.begin(method, message)
        await user.pause(_LONGEST_LIFE_SECONDS)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call


async def exceed_deadline(user: User) -> None:
    """Make calls whose deadlines pass within milliseconds."""
    seconds = user.draw.uniform(0, _LONGEST_LIFE_SECONDS)
    await user.call("ListSprockets", sprocket_pb2.ListSprocketsRequest(show_total_size=True), seconds)
    request = sprocket_pb2.CreateSprocketRequest(sprocket=user.sprocket(), validate_only=True)
    await user.call("CreateSprocket", request, seconds)


ACTIVITIES: Mapping[Activity, int] = {
    create_or_delete: 20,
    create_or_delete_batch: 2,
    update: 5,
    live_and_die: 3,
    get: 20,
    page: 5,
    audit: 2,
    read_chart: 2,
    follow: 4,
    break_off: 3,
    cancel: 4,
    exceed_deadline: 4,
}
"""The activities, and how often each is drawn in relation to the others."""
