"""What both clients decide in the same way: what they send, whether and when they retry, and where a chart resumes."""

import random
import time
import uuid
from collections.abc import Sequence
from copy import deepcopy
from importlib import resources
from typing import Any, Generic, Protocol, TypeVar

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
_KEEPALIVE_MS = 15_000

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


def channel_options() -> Sequence[tuple[str, Any]]:
    """Return the options of channels: how calls are distributed, and how soon a lost connection is noticed."""
    return [
        ("grpc.service_config", (resources.files("sprocket.v1") / "service_config.json").read_text()),
        # By default gRPC waits up to two minutes before it reconnects to a server that was unavailable.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # So that a stream ends within 30 s after its connection was cut without a word. The server permits 10 s.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def credentials_metadata(api_key: str | None) -> Sequence[tuple[str, str]]:
    """Return the metadata that authenticates a call."""
    return [("authorization", f"Bearer {api_key}")] if api_key else []


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

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE_SECONDS

    @property
    def seconds_left(self) -> float:
        """The time until the deadline, for the next attempt."""
        return max(self._deadline - time.monotonic(), _LEAST_SECONDS)

    def pause_after(self, error: grpc.RpcError) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            ServiceError: There is none: it would fail in the same way, or begin after the deadline.
        """
        failure = ServiceError.of(error)
        pause = self._pause * random.uniform(0.5, 1)  # noqa: S311  # so that clients do not return all at once
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        pause += failure.retry_after_seconds or 0
        if not failure.is_safe_to_retry or pause >= self.seconds_left:
            raise failure from error
        return pause


class Position(Generic[ChartRequest]):
    """Where a stream of charts is, across the calls that it is made of.

    Attributes:
        request: The request of the next call.
    """

    def __init__(self, request: ChartRequest, seconds: float) -> None:
        self.request = deepcopy(request)
        self._seconds = seconds
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
        self._outage = self._outage or Attempts(self._seconds)
        return self._outage.pause_after(error)
