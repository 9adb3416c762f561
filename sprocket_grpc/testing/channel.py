"""A channel of grpc.aio that does not care in which event loop it is made."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc


class AnyLoopChannel(grpc.aio.Channel):
    """Calls in the event loop that runs when it is called.

    gRPC binds a channel to the loop in which it is made. A fixture cannot know the loop of its test, unless it is one
    of pytest-asyncio or of anyio. This one works with both, and with `asyncio.run` in a plain test; so can stubs that
    are made before any loop runs.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}

    def drop(self) -> None:
        """Give the connections up, without a loop, which may be closed by now: gRPC closes what nobody refers to."""
        self._channels.clear()

    def unary_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # gRPC's own, passed on
        """Make a method of one request and one response."""
        return self._late(lambda channel: channel.unary_unary(*method, **options))

    def unary_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Make a method of one request and a stream of responses."""
        return self._late(lambda channel: channel.unary_stream(*method, **options))

    def stream_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Make a method of a stream of requests and one response."""
        return self._late(lambda channel: channel.stream_unary(*method, **options))

    def stream_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Make a method of two streams."""
        return self._late(lambda channel: channel.stream_stream(*method, **options))

    async def close(self, grace: float | None = None) -> None:
        """Close the connection of this loop."""
        await self._here().close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  # gRPC's
        """Return the state of the connection of this loop."""
        return self._here().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state of the connection of this loop is another."""
        await self._here().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until this loop is connected."""
        await self._here().channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def _here(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            self._channels[loop] = grpc.aio.insecure_channel(self._address)
        return self._channels[loop]

    def _late(self, bind: Callable[[grpc.aio.Channel], Any]) -> Any:  # noqa: ANN401  # as above
        def call(*request: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
            return bind(self._here())(*request, **options)

        return call
