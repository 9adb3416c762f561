"""The client for threads."""

from collections.abc import Iterator
from copy import deepcopy
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

import grpc

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
from sprocket.client.silence import until_silent

_ListRequest = TypeVar("_ListRequest", bound=ListRequest)
_ListResponse = TypeVar("_ListResponse", bound=ListResponse)


class Client:
    """A client of one service, for any number of threads. Close it, or use it as a context manager.

    Attributes:
        channel: The channel, for the generated stubs.
    """

    def __init__(
        self,
        address: str | grpc.Channel,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 30,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Connect in the background.

        Args:
            address: The address of the server, such as `127.0.0.1:50051` or `dns:///sprocket.example:50051`. Or an
                open channel, for example with interceptors or options of your own, which `close` closes.
            credentials: How TLS is spoken; `grpc.ssl_channel_credentials()` trusts the usual authorities. None means no
                TLS, with which the network can read the API key.
            api_key: An API key or bearer token.
            timeout_seconds: The deadline of a call with all its retries, and how long a stream may be without a server.
                Infinity means no limit.
            on_retry: Called before each retry, in the thread of the call, for example to log it. If it raises an error,
                the call ends with that.
        """
        self.channel = _open(address, credentials) if isinstance(address, str) else address
        self._metadata = tuple(credentials_metadata(api_key))
        self._timeout_seconds = timeout_seconds
        self._on_retry = on_retry
        self._closed = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and cancel all calls and retries."""
        self._closed.set()
        self.channel.close()

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        """Return the response of a method. All attempts of a write have one request_id, so that it takes effect once.

        Args:
            method: A method of a stub of `channel`.
            request: Its request. A write without a request_id gets one, in a copy of the request.

        Raises:
            ServiceError: The call failed, and a retry would fail in the same way or be too late.
        """
        request, attempts = with_request_id(request), Attempts(self._timeout_seconds, self._on_retry)
        while True:
            try:
                return method(request, timeout=attempts.timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                self._raise_if_closed(error)
                self._pause(attempts.pause_after(error), error)

    def pages(
        self, method: "grpc.UnaryUnaryMultiCallable[_ListRequest, _ListResponse]", request: _ListRequest
    ) -> Iterator[_ListResponse]:
        """Yield the responses of a List method, one for each page.

        Args:
            method: A List method of a stub of `channel`.
            request: Its request. With a page_token, the pages begin there.

        Raises:
            ServiceError: As `call` does.
        """
        request = deepcopy(request)
        while True:
            yield (page := self.call(method, request))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def follow(
        self, method: "grpc.UnaryStreamMultiCallable[ChartRequest, ChartResponse]", request: ChartRequest
    ) -> Iterator[ChartResponse]:
        """Yield the responses of GetFactoryChart or FollowFactoryCharts, each entry once, also if connections break.

        A followed chart has no end: leave the loop when you have seen enough. Heartbeats, which have no entries, are
        yielded too. After a break, the entries added meanwhile arrive as a history with an end_of_history of its own.

        Args:
            method: GetFactoryChart or FollowFactoryCharts of a stub of `channel`.
            request: Its request. With a resume_token, the stream continues there.

        Raises:
            ServiceError: No server answered for `timeout_seconds`, or a new call would fail in the same way.
        """
        position = Position(request, self._timeout_seconds, self._on_retry)
        while True:
            stream = method(position.request, metadata=self._metadata)
            try:
                for response in until_silent(stream, stream.cancel):
                    position.advance(response)
                    yield response
            except grpc.RpcError as error:
                self._raise_if_closed(error)
                self._pause(position.pause_after(error), error)
            else:
                return
            finally:
                stream.cancel()

    def _pause(self, seconds: float, error: grpc.RpcError) -> None:
        """Wait before a retry.

        Raises:
            ServiceError: The client was closed.
        """
        self._closed.wait(seconds)
        self._raise_if_closed(error)

    def _raise_if_closed(self, error: grpc.RpcError) -> None:
        if self._closed.is_set():
            raise ServiceError.of(error)


def _open(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    options = channel_options()
    if credentials:
        return grpc.secure_channel(address, credentials, options)
    return grpc.insecure_channel(address, options)
