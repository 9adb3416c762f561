"""Calls that are retried while the server is unavailable; a retried write takes effect once."""

import math
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import click
import google.rpc.error_details_pb2 as details
import grpc

from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import detail, explain, status_of
from sprocket_grpc.cli.client.output import checked_stdout, warn
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.unavailable import find_cause
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.config.environment import CLIENT_PREFIX

_F = TypeVar("_F", bound=Callable[..., object])

MOST_IN_BATCH = 1_000
"""How many resources one request may name, by the contract."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


def timeout_option(seconds: float) -> Callable[[_F], _F]:
    """Return the option that limits the duration of a call, with all its retries."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True, max=86_400),
        callback=_check_number,
        default=seconds,
        show_default=True,
        envvar=f"{CLIENT_PREFIX}TIMEOUT_SECONDS",
        show_envvar=True,
        metavar="SECONDS",
        help="The deadline of a call, including its retries while the server is unavailable.",
    )


def _check_number(_: click.Context, __: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which click accepts in every range
        raise click.BadParameter("expected a number of seconds, not nan")
    return value


class Caller:
    """Calls methods of one server."""

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self._timeout = timeout
        self._reported_until = 0.0

    def call(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # the messages of any method
        """Return the response of a method, as `attempt` does.

        Raises:
            ClientError: The call failed.
        """
        try:
            return self.attempt(method, request)
        except grpc.RpcError as error:
            raise explain(error, self.server) from error

    def attempt(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # as above
        """Return the response of a method, retrying while the server is unavailable or asks for a retry.

        All attempts of a write have the same request_id, so that it takes effect once.

        Raises:
            grpc.RpcError: The call failed.
        """
        if method.is_write and not request.request_id:
            request.request_id = str(uuid.uuid4())
        multicallable = self.server.channel.unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE_SECONDS
        while True:
            left = max(deadline - time.monotonic(), 0.001)
            try:
                return multicallable(request, timeout=left, metadata=self.server.metadata)
            except grpc.RpcError as error:
                wait = _retry_delay(error, pause)
                if wait is None or time.monotonic() + wait >= deadline:
                    raise
            self._report_retries(pause, deadline)
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def pages(self, resource: Resource, limit: int | None, **fields: Any) -> Iterator[Any]:  # noqa: ANN401  # as above
        """Yield the responses of a List, page by page. A page that is too large to receive is read in smaller ones.

        Args:
            resource: The kind of resource to list.
            limit: The largest number of resources to list, or None for all.
            **fields: Fields of the request.
        """
        request = resource.methods["List"].request(**fields)
        while limit != 0:
            if limit is not None:
                request.page_size = min(limit, request.page_size or MOST_IN_BATCH)
            response = self._page(resource.methods["List"], request)
            yield response
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
            limit = None if limit is None else limit - len(getattr(response, resource.items))

    def _page(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # as above
        """Return a page, and halve the page size of the request until the page can be received.

        Raises:
            ClientError: The call failed.
        """
        while True:
            try:
                return self.attempt(method, request)
            except grpc.RpcError as error:
                if not _is_too_large(error) or request.page_size == 1:
                    raise explain(error, self.server) from error
            request.page_size = (request.page_size or MOST_IN_BATCH) // 2

    def _report_retries(self, pause: float, deadline: float) -> None:
        """Say on a terminal that a call is retried, once for all calls that are in flight."""
        if pause == _FIRST_PAUSE_SECONDS and sys.stderr.isatty() and time.monotonic() > self._reported_until:
            self._reported_until = deadline
            left = deadline - time.monotonic()
            warn(f"{self.server.address} is unavailable; retrying for {left:.0f} s")


@contextmanager
def connected_caller(connection: Connection, timeout: float) -> Iterator[Caller]:
    """Yield a caller of the server of the connection options, for a command that prints to standard output."""
    with connected(connection) as server, checked_stdout():
        yield Caller(server, timeout)


def in_batches(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the ids in batches of at most `MOST_IN_BATCH`."""
    rest = iter(names)
    while batch := list(islice(rest, MOST_IN_BATCH)):
        yield batch


def _is_too_large(error: grpc.RpcError) -> bool:
    """Whether the response exceeds the limit of the channel, which gRPC says in a text only."""
    is_exhausted = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return is_exhausted and "message larger than max" in (error.details() or "")


def _retry_delay(error: grpc.RpcError, pause: float) -> float | None:
    """Return the seconds to wait before a retry, or None if a retry would fail in the same way."""
    status = status_of(error)
    if status is None:
        is_unavailable = error.code() is grpc.StatusCode.UNAVAILABLE
        return pause if is_unavailable and not find_cause(error.details() or "").is_permanent else None
    retry = detail(status, details.RetryInfo)
    if error.code() is grpc.StatusCode.UNAVAILABLE or retry.HasField("retry_delay"):
        return max(pause, retry.retry_delay.ToMilliseconds() / 1000)
    return None
