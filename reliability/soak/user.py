"""A user of the service: a channel, an API key, and the resources that all users share."""

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import grpc

from reliability.methods import methods_on
from sprocket.v1 import factory_pb2, location_pb2, sprocket_pb2, sprocket_type_pb2

Message: TypeAlias = Any

DEADLINE_SECONDS = 30

NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
"""The statuses that no call may end with."""


@dataclass
class Stock:
    """What all users share.

    Attributes:
        keys: API keys. The users take turns with them.
        location_id: A location that stays.
        sprocket_type_id: A sprocket type that stays.
        factory_ids: Factories that stay.
        sprocket_ids: The sprockets that exist. A user who deletes one removes it first.
        statuses: How many calls of each method ended with each status.
    """

    keys: Collection[str] = ()
    location_id: str = ""
    sprocket_type_id: str = ""
    factory_ids: list[str] = field(default_factory=list)
    sprocket_ids: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, grpc.StatusCode]] = field(default_factory=Counter)

    @property
    def problems(self) -> list[str]:
        """The methods that ended with a status that must not be."""
        wrong = ((*key, count) for key, count in self.statuses.items() if key[1] in NEVER)
        return [f"{method} ended {count} times with {code.name}" for method, code, count in wrong]


class User:
    """Makes calls, one after another.

    Attributes:
        stock: What it shares with the other users.
        draw: The source of what it draws.
        address: The address of the server.
    """

    def __init__(self, address: str, stock: Stock, draw: Random) -> None:
        self.address = address
        self.stock = stock
        self.draw = draw
        self.channel = self.new_channel()
        self._methods = methods_on(self.channel)

    def new_channel(self) -> grpc.aio.Channel:
        """Open a connection of its own."""
        return grpc.aio.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """The metadata with one of the API keys."""
        return [("authorization", f"Bearer {self.draw.choice(list(self.stock.keys))}")]

    async def call(self, method: str, request: Message, seconds: float = DEADLINE_SECONDS) -> Message | None:
        """Make a call, and return its response, or None if it failed."""
        return await self.noted(method, self.begin(method, request, seconds))

    async def create(self, method: str, request: Message) -> Message:
        """Make a call that has to succeed."""
        return await self.begin(method, request)

    def begin(self, method: str, request: Message, seconds: float | None = DEADLINE_SECONDS) -> Any:  # noqa: ANN401  # a call of any kind
        """Begin a call."""
        return self._methods[method](request, timeout=seconds, metadata=self.metadata)

    async def noted(self, method: str, call: Any) -> Message | None:  # noqa: ANN401  # as above
        """Note how a unary call ends, and return its response, or None if it failed."""
        response = None
        with suppress(grpc.aio.AioRpcError):
            response = await call
        self.stock.statuses[method, await call.code()] += 1
        return response

    def sprocket(self) -> sprocket_pb2.Sprocket:
        """Make a sprocket of a drawn factory."""
        return sprocket_pb2.Sprocket(
            display_name=f"Cog {self.draw.randrange(1000)}",
            sprocket_type_id=self.stock.sprocket_type_id,
            factory_id=self.factory_id,
        )

    @property
    def factory_id(self) -> str:
        """The id of a drawn factory."""
        return self.draw.choice(self.stock.factory_ids)

    @property
    def sprocket_id(self) -> str:
        """The id of a drawn sprocket, which another user may just delete."""
        return self.draw.choice(self.stock.sprocket_ids) if self.stock.sprocket_ids else self.factory_id

    def location(self) -> location_pb2.Location:
        """Make a location."""
        return location_pb2.Location(
            display_name="Springfield", address="1 Main St", city="Springfield", postal_code="1", country_code="US"
        )

    def sprocket_type(self) -> sprocket_type_pb2.SprocketType:
        """Make a sprocket type."""
        return sprocket_type_pb2.SprocketType(
            display_name="Five", teeth=5, pitch_mm=1, pitch_diameter_mm=5, outside_diameter_mm=6
        )

    def factory(self) -> factory_pb2.Factory:
        """Make a factory."""
        return factory_pb2.Factory(
            display_name="Works", location_id=self.stock.location_id, sprocket_production_goal=self.draw.randrange(1000)
        )

    async def pause(self, longest_seconds: float) -> None:
        """Wait for a drawn time."""
        await asyncio.sleep(self.draw.uniform(0, longest_seconds))
