"""A grpc.aio channel that works in any event loop."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc


class AnyLoopChannel(grpc.aio.Channel):
    """A channel whose calls use the event loop that is running when they start.

    gRPC binds a channel to the event loop in which it is created, and a fixture does not know the loop of its test.
    This channel works with pytest-asyncio, anyio, and `asyncio.run` in a plain test, and also with stubs that are
    created before any loop runs.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}

    def drop(self) -> None:
        """Drop the connections without an event loop, which may be closed. gRPC closes unreferenced channels itself."""
        self._channels.clear()

    def unary_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # passed to gRPC
        """Return a method with one request and one response."""
        return self._bind_late(lambda channel: channel.unary_unary(*method, **options))

    def unary_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Return a method with one request and a stream of responses."""
        return self._bind_late(lambda channel: channel.unary_stream(*method, **options))

    def stream_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Return a method with a stream of requests and one response."""
        return self._bind_late(lambda channel: channel.stream_unary(*method, **options))

    def stream_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
        """Return a method with a stream of requests and a stream of responses."""
        return self._bind_late(lambda channel: channel.stream_stream(*method, **options))

    async def close(self, grace: float | None = None) -> None:
        """Close the connection of the running loop."""
        await self._current().close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  # gRPC's
        """Return the state of the connection of the running loop."""
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state of the connection of the running loop changes."""
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the running loop is connected."""
        await self._current().channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def _current(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            self._channels[loop] = grpc.aio.insecure_channel(self._address)
        return self._channels[loop]

    def _bind_late(self, bind: Callable[[grpc.aio.Channel], Any]) -> Any:  # noqa: ANN401  # as above
        def call(*request: Any, **options: Any) -> Any:  # noqa: ANN401  # as above
            return bind(self._current())(*request, **options)

        return call
