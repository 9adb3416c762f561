"""What both clients decide in the same way: what they send, whether and when they retry, and where a chart resumes."""

import math
import random
import time
import uuid
from collections.abc import Callable
from copy import deepcopy
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from sprocket.client.errors import ServiceError
from sprocket.v1.factory_pb2 import (
    FollowFactoryChartsRequest,
    FollowFactoryChartsResponse,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_LEAST_SECONDS = 0.001

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
ChartRequest = TypeVar("ChartRequest", GetFactoryChartRequest, FollowFactoryChartsRequest)
ChartResponse = TypeVar("ChartResponse", GetFactoryChartResponse, FollowFactoryChartsResponse)


class ListRequest(Protocol):
    """The request of a List method."""

    page_token: str


class ListResponse(Protocol):
    """The response of a List method."""

    @property
    def next_page_token(self) -> str:
        """The token of the next page; empty on the last page."""


class Retry(NamedTuple):
    """A retry that a client is about to make.

    Attributes:
        error: Why the last attempt failed, or the stream broke.
        pause_seconds: How long the client waits before the retry.
        seconds_left: How long the client goes on with retries. Infinity if it never gives up.
    """

    error: ServiceError
    pause_seconds: float
    seconds_left: float


OnRetry: TypeAlias = Callable[[Retry], object]


def with_request_id(request: Request) -> Request:
    """Return a write with a request_id, which all its attempts share; other requests as they are."""
    field = request.DESCRIPTOR.fields_by_name.get("request_id")
    if field is None or getattr(request, field.name):
        return request
    prepared = deepcopy(request)  # a request that the caller sends twice is two requests
    setattr(prepared, field.name, str(uuid.uuid4()))
    return prepared


class Attempts:
    """The attempts of one call, which share a deadline."""

    def __init__(self, seconds: float, on_retry: OnRetry | None) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE_SECONDS
        self._on_retry = on_retry

    @property
    def seconds_left(self) -> float:
        """The time until the deadline."""
        return max(self._deadline - time.monotonic(), _LEAST_SECONDS)

    @property
    def timeout(self) -> float | None:
        """The time limit of the next attempt, for gRPC, which takes infinity for none left."""
        return None if math.isinf(self._deadline) else self.seconds_left

    def pause_after(self, error: grpc.RpcError) -> float:
        """Return the seconds to wait before the next attempt, after telling `on_retry`.

        Raises:
            ServiceError: There is none: it would fail in the same way, or begin after the deadline.
        """
        failure, left = ServiceError.of(error), self.seconds_left
        pause = self._pause * random.uniform(0.5, 1)  # noqa: S311  # so that clients do not return all at once
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        pause += failure.retry_after_seconds or 0
        if not failure.is_safe_to_retry or pause >= left:
            raise failure
        if self._on_retry:
            self._on_retry(Retry(failure, pause, left))
        return pause


class Position(Generic[ChartRequest]):
    """Where a stream of charts is, across the calls that it is made of.

    Attributes:
        request: The request of the next call.
    """

    def __init__(self, request: ChartRequest, seconds: float, on_retry: OnRetry | None) -> None:
        self.request = deepcopy(request)
        self._seconds = seconds
        self._on_retry = on_retry
        self._outage: Attempts | None = None

    def advance(self, response: GetFactoryChartResponse | FollowFactoryChartsResponse) -> None:
        """Continue after a response."""
        self._outage = None
        self.request.resume_token = response.resume_token
        if response.end_of_history:
            self.request.max_points = 0  # what is new while the stream is broken is not downsampled either

    def pause_after(self, error: grpc.RpcError) -> float:
        """Return the seconds to wait before the next call, as `Attempts.pause_after` does.

        The deadline is for the time without a response, and begins with the error.
        """
        self._outage = self._outage or Attempts(self._seconds, self._on_retry)
        return self._outage.pause_after(error)
