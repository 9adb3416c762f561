"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from types import TracebackType
from typing import Self, TypeVar

import grpc

from sprocket.client import silence
from sprocket.client.attempts import (
    Attempts,
    ChartRequest,
    ChartResponse,
    ListRequest,
    ListResponse,
    OnRetry,
    Position,
    Request,
    Response,
    with_request_id,
)
from sprocket.client.channel import channel_options, credentials_metadata
from sprocket.client.errors import ServiceError

_ListRequest = TypeVar("_ListRequest", bound=ListRequest)
_ListResponse = TypeVar("_ListResponse", bound=ListResponse)


class AsyncClient:
    """A client of one service, for the event loop that is running when it is made.

    Close it, or use it as an asynchronous context manager. Arguments, responses and errors are those of `Client`.

    Attributes:
        channel: The channel, for the generated stubs.
    """

    def __init__(
        self,
        address: str | grpc.aio.Channel,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 30,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Connect in the background."""
        self.channel = _open(address, credentials) if isinstance(address, str) else address
        self._metadata = tuple(credentials_metadata(api_key))
        self._timeout_seconds = timeout_seconds
        self._is_closed = False
        self._on_retry = on_retry

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and cancel all calls and retries."""
        self._is_closed = True
        await self.channel.close()

    async def call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        """Return the response of a method, as `Client.call` does."""
        request, attempts = with_request_id(request), Attempts(self._timeout_seconds, self._on_retry)
        while True:
            try:
                return await method(request, timeout=attempts.timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                self._raise_if_closed(error)
                await self._pause(attempts.pause_after(error), error)

    async def pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[_ListRequest, _ListResponse]", request: _ListRequest
    ) -> AsyncIterator[_ListResponse]:
        """Yield the responses of a List method, as `Client.pages` does."""
        request = deepcopy(request)
        while True:
            yield (page := await self.call(method, request))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def follow(
        self, method: "grpc.aio.UnaryStreamMultiCallable[ChartRequest, ChartResponse]", request: ChartRequest
    ) -> AsyncIterator[ChartResponse]:
        """Yield the responses of GetFactoryChart or FollowFactoryCharts, as `Client.follow` does."""
        position = Position(request, self._timeout_seconds, self._on_retry)
        while True:
            stream = method(position.request, metadata=self._metadata)
            try:
                async for response in _until_silent(stream):
                    position.advance(response)
                    yield response
            except grpc.RpcError as error:
                self._raise_if_closed(error)
                await self._pause(position.pause_after(error), error)
            else:
                return
            finally:
                stream.cancel()

    async def _pause(self, seconds: float, error: grpc.RpcError) -> None:
        """Wait before a retry.

        Raises:
            ServiceError: The client was closed.
        """
        await asyncio.sleep(seconds)
        self._raise_if_closed(error)

    def _raise_if_closed(self, error: grpc.RpcError) -> None:
        if self._is_closed:
            raise ServiceError.of(error)


def _open(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    options = channel_options()
    if credentials:
        return grpc.aio.secure_channel(address, credentials, options)
    return grpc.aio.insecure_channel(address, options)


async def _until_silent(
    stream: "grpc.aio.UnaryStreamCall[ChartRequest, ChartResponse]",
) -> AsyncIterator[ChartResponse]:
    """Yield the responses of a stream, as `silence.until_silent` does."""
    while True:
        try:
            async with asyncio.timeout(silence.LONGEST_SILENCE_SECONDS):
                response = await stream.read()
        except TimeoutError:
            raise silence.SilenceError from None
        if response is grpc.aio.EOF:
            return
        yield response
