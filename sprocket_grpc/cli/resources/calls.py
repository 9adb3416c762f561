"""The calls of commands: those of `sprocket.client`, with messages for a person at a terminal."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import click
import grpc

from sprocket.client import Client, Retry, ServiceError
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import explain
from sprocket_grpc.cli.client.output import checked_stdout, warn
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.unavailable import is_permanent, why_to_wait
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.config.environment import CLIENT_PREFIX

_F = TypeVar("_F", bound=Callable[..., object])

MOST_IN_BATCH = 1_000
"""How many resources one request may name, by the contract."""


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
    """Calls methods of one server.

    Attributes:
        server: The server.
        client: The client that calls it. Its errors are ServiceError.
    """

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self.client = Client(
            server.channel, api_key=server.api_key, timeout_seconds=timeout, on_retry=self._report_retry
        )
        self._reported_until = 0.0

    def call(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # the messages of any method
        """Return the response of a method, as `attempt` does.

        Raises:
            ClientError: The call failed.
        """
        with explained(self.server):
            return self.attempt(method, request)

    def attempt(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # as above
        """Return the response of a method, with the retries of `Client.call`.

        Raises:
            ServiceError: The call failed.
        """
        multicallable: grpc.UnaryUnaryMultiCallable[Any, Any] = self.server.channel.unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        return self.client.call(multicallable, request)

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
            except ServiceError as error:
                if not _is_too_large(error) or request.page_size == 1:
                    raise explain(error, self.server) from error
            request.page_size = (request.page_size or MOST_IN_BATCH) // 2

    def _report_retry(self, retry: Retry) -> None:
        """Say on a terminal that a call is retried, once for all calls that are in flight.

        Raises:
            ServiceError: A retry would fail in the same way.
        """
        if is_permanent(retry.error):
            raise retry.error
        if sys.stderr.isatty() and time.monotonic() > self._reported_until:
            self._reported_until = time.monotonic() + retry.seconds_left
            warn(f"{why_to_wait(retry.error, self.server)}; retrying for {retry.seconds_left:.0f} s")


@contextmanager
def connected_caller(connection: Connection, timeout: float) -> Iterator[Caller]:
    """Yield a caller of the server of the connection options, for a command that prints to standard output."""
    with connected(connection) as server, checked_stdout():
        caller = Caller(server, timeout)
        with caller.client:  # its end also ends calls and retries of other threads
            yield caller


def in_batches(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the ids in batches of at most `MOST_IN_BATCH`."""
    rest = iter(names)
    while batch := list(islice(rest, MOST_IN_BATCH)):
        yield batch


@contextmanager
def explained(server: Server) -> Iterator[None]:
    """Explain the error of a failed call to the user.

    Raises:
        ClientError: A call failed.
    """
    try:
        yield
    except ServiceError as error:
        raise explain(error, server) from error


def _is_too_large(error: ServiceError) -> bool:
    """Whether the response exceeds the limit of the channel, which gRPC says in a text only."""
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in error.message
