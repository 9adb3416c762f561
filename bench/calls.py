"""Measures the CPU of the server for calls of each kind, each with a request of its own, against a simpler kind.

Distinct requests come from a client in Python, which takes as much CPU as the server: rates would be the client's.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import TypeAlias

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from bench import processes
from bench.database import spread_sprockets
from bench.plan import Bench
from bench.processes import Server, serving
from bench.report import Figure, Target, interleave
from bench.resources import Resources, create_resources
from sprocket.v1.factory_pb2 import Factory, GetFactoryRequest, UpdateFactoryRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import (
    BatchGetSprocketsRequest,
    CreateSprocketRequest,
    DeleteSprocketRequest,
    ListSprocketsRequest,
    Sprocket,
)
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub

_FACTORIES = 300
_IN_FLIGHT = 16
_CALLS_PER_SECOND = 250
_PAGE = 50
_LONG_PAGE = 100
_OWN_IDS = 1000  # a number that no client of another scenario has

Call: TypeAlias = Callable[[int], Awaitable[object]]
"""Makes a call, given its number."""

NAME, GOAL, DELETE = "UpdateFactory, its name", "UpdateFactory, its goal", "DeleteSprocket"

_CREATE, _GET = "CreateSprocket", "GetFactory"
_LIST, _LONG = "ListSprockets, a page of 50", "ListSprockets, a page of 100"


class Calls:
    """Calls over one channel, in many factories."""

    def __init__(self, channel: grpc.aio.Channel, resources: Resources, made: Sequence[str] = ()) -> None:
        self._factories = FactoryServiceStub(channel)
        self._sprockets = SprocketServiceStub(channel)
        self._resources = resources
        self._made = [*made]  # the ids of sprockets that exist
        self._numbers = count(1)

    def kinds(self) -> dict[str, Call]:
        """Return a function for each kind of call, which takes the number of the call."""
        by_factory = "with a filter by factory"
        return {
            _GET: lambda n: self._factories.GetFactory(GetFactoryRequest(id=self._factory(n))),
            _CREATE: partial(self._create, has_id=False),
            "CreateSprocket with request_id": partial(self._create, has_id=True),
            NAME: lambda n: self._update(Factory(id=self._factory(n), display_name=f"Works {n}")),
            GOAL: self._set_goal,
            _LIST: lambda _: self._sprockets.ListSprockets(ListSprocketsRequest(page_size=_PAGE)),
            _LONG: lambda _: self._sprockets.ListSprockets(ListSprocketsRequest(page_size=_LONG_PAGE)),
            f"ListSprockets, {by_factory}": lambda n: self._list(n, ""),
            f"ListSprockets, {by_factory} and an order": lambda n: self._list(n, "create_time desc"),
            f"ListSprockets, {by_factory} and show_total_size": lambda n: self._list(n, "", counts=True),
            "BatchGetSprockets of 100": lambda _: self._get_many(),
            DELETE: lambda _: self._sprockets.DeleteSprocket(DeleteSprocketRequest(id=self._made.pop())),
        }

    def _factory(self, number: int) -> str:
        ids = self._resources.factory_ids
        return ids[number * 7 % len(ids)]

    async def _create(self, number: int, *, has_id: bool) -> None:
        sprocket = Sprocket(factory_id=self._factory(number), sprocket_type_id=self._resources.sprocket_type_id)
        request = CreateSprocketRequest(sprocket=sprocket, request_id=str(uuid.uuid4()) if has_id else "")
        self._made.append((await self._sprockets.CreateSprocket(request)).sprocket.id)

    async def _set_goal(self, number: int) -> None:
        await self._update(Factory(id=self._factory(number), sprocket_production_goal=next(self._numbers)))

    async def _update(self, factory: Factory) -> None:
        changed = [each.name for each, _ in factory.ListFields() if each.name != "id"]
        await self._factories.UpdateFactory(UpdateFactoryRequest(factory=factory, update_mask=FieldMask(paths=changed)))

    async def _list(self, number: int, order: str, *, counts: bool = False) -> None:
        condition = f'factory_id = "{self._factory(number)}"'
        request = ListSprocketsRequest(page_size=_PAGE, filter=condition, order_by=order, show_total_size=counts)
        await self._sprockets.ListSprockets(request)

    async def _get_many(self) -> None:
        await self._sprockets.BatchGetSprockets(BatchGetSprocketsRequest(ids=self._made[:_LONG_PAGE]))


_TARGETS: dict[str, tuple[str, tuple[Target, ...]]] = {
    _CREATE: (_GET, ()),
    "CreateSprocket with request_id": (_CREATE, (Target("<=", 1.3),)),
    NAME: (_CREATE, (Target("<=", 1.3),)),
    GOAL: (_CREATE, (Target("<=", 1.3),)),
    DELETE: (_CREATE, (Target("<=", 1.3),)),
    "ListSprockets, with a filter by factory": (_LIST, (Target("<=", 1.3),)),
    "ListSprockets, with a filter by factory and an order": (_LIST, (Target("<=", 1.3),)),
    "ListSprockets, with a filter by factory and show_total_size": (_LIST, ()),
    "BatchGetSprockets of 100": (_LONG, (Target("<=", 1),)),
}


def measure_calls(bench: Bench) -> Iterator[Figure]:
    """Measure the server's CPU for each kind of call."""
    with serving(bench.postgres.url) as service, asyncio.Runner() as runner:
        resources = create_resources(service.address, _FACTORIES)
        with bench.progress.step("inserting sprockets, for full pages"):
            made = spread_sprockets(bench.postgres, resources, [_OWN_IDS], _FACTORIES * _LONG_PAGE)
        channel = runner.run(open_channel(service))
        calls = Calls(channel, resources, made)
        number = max(_LONG_PAGE, round(bench.plan.seconds * _CALLS_PER_SECOND))
        kinds = {name: partial(_run, runner, service, call, number) for name, call in calls.kinds().items()}
        with bench.progress.step("warming up"):
            for each in kinds.values():
                each()
        runs = interleave(kinds, bench.plan.rounds, bench.progress)
        runner.run(channel.close())
    for name, (reference, targets) in _TARGETS.items():
        yield Figure(f"server CPU of {name}", "us", runs[name], reference, runs[reference], targets)


async def open_channel(service: Server) -> grpc.aio.Channel:
    """Open a channel on the running event loop."""
    return grpc.aio.insecure_channel(service.address)


def _run(runner: asyncio.Runner, service: Server, call: Call, number: int) -> float:
    return runner.run(_micros(service, call, number))


async def _micros(service: Server, call: Call, number: int) -> float:
    """Make calls, and return the server's CPU time for one, in microseconds."""
    before = processes.family_cpu_seconds(service.pid)
    await make(call, number)
    return (processes.family_cpu_seconds(service.pid) - before) / number * 1e6


async def make(call: Call, number: int) -> float:
    """Make calls, 16 at a time, and return the seconds that they took."""
    numbers = iter(range(number))

    async def caller() -> None:
        for each in numbers:
            await call(each)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as callers:
        for _ in range(_IN_FLIGHT):
            callers.create_task(caller())
    return time.perf_counter() - begin
