"""Calls that outlive a server which is away for a moment, and have their effect once."""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

import click
import google.rpc.error_details_pb2 as details
import grpc

from sprocket_grpc.cli.client.errors import detail, explain, status_of
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.config.environment import CLIENT_PREFIX

_F = TypeVar("_F", bound=Callable[..., object])

MOST_IN_BATCH = 1_000
"""How many one request may be about, as the contract says."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


def timeout_option(seconds: float) -> Callable[[_F], _F]:
    """Make the option that says how long a call may take in all."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True, max=86_400),
        default=seconds,
        show_default=True,
        envvar=f"{CLIENT_PREFIX}TIMEOUT_SECONDS",
        show_envvar=True,
        metavar="SECONDS",
        help="How long a call may take, with all attempts while the server is away.",
    )


class Caller:
    """Calls the methods of one server."""

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self._timeout = timeout

    def call(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # the messages of whichever method
        """Call a method.

        Raises:
            ClientError: The call failed.
        """
        try:
            return self.attempt(method, request)
        except grpc.RpcError as error:
            raise explain(error, self.server) from error

    def attempt(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # as above
        """Call a method, again and again while the server is away or asks for it; a write takes effect once.

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
                wait = _worth_waiting(error, pause)
                if wait is None or time.monotonic() + wait >= deadline:
                    raise
            self._say_that_it_takes_longer(pause, deadline)
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def pages(self, resource: Resource, limit: int | None, **fields: Any) -> Iterator[Any]:  # noqa: ANN401  # as above
        """Yield the responses of a list, page by page.

        Args:
            resource: What to list.
            limit: How many at most.
            **fields: Fields of the request.
        """
        request = resource.methods["List"].request(**fields)
        while limit != 0:
            if limit is not None:
                request.page_size = min(limit, request.page_size or MOST_IN_BATCH)
            response = self.call(resource.methods["List"], request)
            yield response
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
            limit = None if limit is None else limit - len(getattr(response, resource.items))

    def _say_that_it_takes_longer(self, pause: float, deadline: float) -> None:
        if pause == _FIRST_PAUSE_SECONDS and sys.stderr.isatty():
            left = deadline - time.monotonic()
            click.echo(f"{self.server.address} cannot answer now; trying again for {left:.0f} s", err=True)


def in_batches(names: tuple[str, ...]) -> Iterator[list[str]]:
    """Cut ids into as many as one request may have."""
    rest = iter(names)
    while batch := list(islice(rest, MOST_IN_BATCH)):
        yield batch


def _worth_waiting(error: grpc.RpcError, pause: float) -> float | None:
    """Return how many seconds to wait before another attempt, or None if it would end like this one."""
    status = status_of(error)
    if status is None:
        is_away = error.code() is grpc.StatusCode.UNAVAILABLE and "andshake" not in (error.details() or "")
        return pause if is_away else None
    retry = detail(status, details.RetryInfo)
    if error.code() is grpc.StatusCode.UNAVAILABLE or retry.HasField("retry_delay"):
        return max(pause, retry.retry_delay.ToMilliseconds() / 1000)
    return None
