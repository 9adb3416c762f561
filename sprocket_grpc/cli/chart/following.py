"""Follows a chart, and resumes where it stopped when the connection breaks."""

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

import grpc

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse
from sprocket_grpc.cli.chart.client import ChartCall, Client
from sprocket_grpc.cli.client.errors import ClientError, explain

UPDATE_SECONDS = 0.25
"""The interval between updates while no response arrives."""

# Four times as long as a stream may be silent by contract. With a longer interval on the server, a new call is made.
SILENCE_SECONDS = 60

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


class Update(NamedTuple):
    """What happened since the last update.

    Attributes:
        response: The next response, or None.
        problem: Why no response can arrive at present, for a person; empty while connected.
    """

    response: GetFactoryChartResponse | None
    problem: str = ""


def follow(client: Client, request: GetFactoryChartRequest) -> Iterator[Update]:
    """Yield updates of a chart without end, at least one every `UPDATE_SECONDS`.

    Args:
        client: The client of its server.
        request: Where to start. Its resume_token is updated with every response.

    Raises:
        ClientError: The call failed with an error that a new call does not solve.
    """
    pause, problem = _FIRST_PAUSE_SECONDS, ""
    while True:
        try:
            for response in _one_stream(client, request):
                if response:
                    pause, problem = _FIRST_PAUSE_SECONDS, ""
                yield Update(response, problem)
        except grpc.RpcError as error:
            if error.code() not in _RETRYABLE:
                raise explain(error, client.server) from error
        problem = f"{client.server.address} is unavailable; retrying every few seconds"
        yield from _paused(pause, problem)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _one_stream(client: Client, request: GetFactoryChartRequest) -> Iterator[GetFactoryChartResponse | None]:
    """Yield the responses of one stream, and None while no response arrives, until it breaks or is silent too long."""
    call = client.call_chart(request)
    items: SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None] = SimpleQueue()
    Thread(target=_read_into, args=(call, items), daemon=True).start()
    last_response_at = time.monotonic()
    try:
        while time.monotonic() < last_response_at + SILENCE_SECONDS:
            response = _next(items, client)
            if response:
                last_response_at = time.monotonic()
                request.resume_token = response.resume_token
            yield response
    finally:
        call.cancel()


def _next(
    items: "SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None]", client: Client
) -> GetFactoryChartResponse | None:
    try:
        item = items.get(timeout=UPDATE_SECONDS)
    except Empty:
        return None
    if item is None:
        raise ClientError(f"{client.server.address} ended the stream; its version is too old to follow charts")
    if isinstance(item, grpc.RpcError):
        raise item
    return item


def _read_into(
    call: ChartCall,
    items: "SimpleQueue[GetFactoryChartResponse | grpc.RpcError | None]",
) -> None:
    # A thread and a queue, because reading from the call itself has no timeout.
    try:
        for response in call:
            items.put(response)
        items.put(None)
    except grpc.RpcError as error:
        items.put(error)


def _paused(seconds: float, problem: str) -> Iterator[Update]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield Update(None, problem)
        time.sleep(min(UPDATE_SECONDS, seconds))
