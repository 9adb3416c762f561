"""Follows a chart: goes on where it was when the server comes back."""

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

import grpc

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse
from sprocket_grpc.cli.chart.client import ChartCall, Client
from sprocket_grpc.cli.client.errors import ClientError, explain

TICK_SECONDS = 0.25
"""How long nothing is said while nothing happens."""

# Four times as long as a stream may be silent. A server set up with longer times only costs a new call.
SILENCE_SECONDS = 60

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_WORTH_ANOTHER_TRY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


class Update(NamedTuple):
    """What happened within a tick, if anything.

    Attributes:
        response: The next stretch.
        problem: Why nothing comes for now, for a person, or empty.
    """

    response: GetFactoryChartResponse | None
    problem: str = ""


def follow(client: Client, request: GetFactoryChartRequest) -> Iterator[Update]:
    """Follow a chart without end, with an update at least every `TICK_SECONDS`.

    Args:
        client: The client of its server.
        request: Where to begin. Its resume_token is moved on.

    Raises:
        ClientError: It cannot be followed, or not any more.
    """
    pause, problem = _FIRST_PAUSE_SECONDS, ""
    while True:
        try:
            for response in _one_stream(client, request):
                if response:
                    pause, problem = _FIRST_PAUSE_SECONDS, ""
                yield Update(response, problem)
        except grpc.RpcError as error:
            if error.code() not in _WORTH_ANOTHER_TRY:
                raise explain(error, client.server) from error
        problem = f"{client.server.address} has gone away; trying again every few seconds"
        yield from _paused(pause, problem)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _one_stream(client: Client, request: GetFactoryChartRequest) -> Iterator[GetFactoryChartResponse | None]:
    """Read one stream until it is silent for too long, or broken."""
    call = client.call_chart(request)
    arrived: SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None] = SimpleQueue()
    Thread(target=_pump, args=(call, arrived), daemon=True).start()
    heard = time.monotonic()
    try:
        while time.monotonic() < heard + SILENCE_SECONDS:
            response = _next(arrived, client)
            if response:
                heard = time.monotonic()
                request.resume_token = response.resume_token
            yield response
    finally:
        call.cancel()


def _next(
    arrived: "SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None]", client: Client
) -> GetFactoryChartResponse | None:
    try:
        item = arrived.get(timeout=TICK_SECONDS)
    except Empty:
        return None
    if item is None:
        raise ClientError(f"{client.server.address} ended the stream; it is too old a version to follow charts")
    if isinstance(item, grpc.RpcError):
        raise item
    return item


def _pump(
    call: ChartCall,
    arrived: "SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None]",
) -> None:
    # Only a queue can be waited on for a while: a call blocks until something arrives.
    try:
        for response in call:
            arrived.put(response)
        arrived.put(None)
    except grpc.RpcError as error:
        arrived.put(error)


def _paused(seconds: float, problem: str) -> Iterator[Update]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield Update(None, problem)
        time.sleep(min(TICK_SECONDS, seconds))
