"""The client for threads."""

import time
from collections.abc import Iterator
from copy import deepcopy
from types import TracebackType
from typing import Self, TypeVar

import grpc

from sprocket.client.attempts import (
    Attempts,
    ChartRequest,
    ChartResponse,
    ListRequest,
    ListResponse,
    Position,
    Request,
    Response,
    channel_options,
    credentials_metadata,
    with_request_id,
)

_ListRequest = TypeVar("_ListRequest", bound=ListRequest)
_ListResponse = TypeVar("_ListResponse", bound=ListResponse)


class Client:
    """A client of one service, for any number of threads. Close it, or use it as a context manager.

    Attributes:
        channel: The channel, for the generated stubs.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 30,
    ) -> None:
        """Connect in the background.

        Args:
            address: The address of the server, such as `127.0.0.1:50051` or `dns:///sprocket.example:50051`.
            credentials: How TLS is spoken; `grpc.ssl_channel_credentials()` trusts the usual authorities. None means no
                TLS, with which the network can read the API key.
            api_key: An API key or bearer token.
            timeout_seconds: The deadline of a call with all its retries, and how long a stream may be without a server.
        """
        options = channel_options()
        self.channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self._metadata = tuple(credentials_metadata(api_key))
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and cancel all calls."""
        self.channel.close()

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        """Return the response of a method. All attempts of a write have one request_id, so that it takes effect once.

        Args:
            method: A method of a stub of `channel`.
            request: Its request. A write without a request_id gets one, in a copy of the request.

        Raises:
            ServiceError: The call failed, and a retry would fail in the same way or be too late.
        """
        request, attempts = with_request_id(request), Attempts(self._timeout_seconds)
        while True:
            try:
                return method(request, timeout=attempts.seconds_left, metadata=self._metadata)
            except grpc.RpcError as error:
                pause = attempts.pause_after(error)
            time.sleep(pause)

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
        position = Position(request, self._timeout_seconds)
        while True:
            stream = method(position.request, metadata=self._metadata)
            try:
                for response in stream:
                    position.advance(response)
                    yield response
            except grpc.RpcError as error:
                pause = position.pause_after(error)
            else:
                return
            finally:
                stream.cancel()
            time.sleep(pause)
