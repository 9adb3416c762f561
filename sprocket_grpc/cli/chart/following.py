"""Follows a chart with `sprocket.client`, and yields regularly, so that a drawing is kept up to date."""

import math
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple, TypeAlias

from sprocket.client import Client, Retry, ServiceError
from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.cli.client.errors import ClientError, explain
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.unavailable import is_permanent, why_to_wait

UPDATE_SECONDS = 0.25
"""The interval between updates while no response arrives."""

_MOST_WAITING = 16
"""How many updates are read ahead; a slow reader makes the server wait."""


class Update(NamedTuple):
    """What happened since the last update.

    Attributes:
        response: The next response, or None.
        problem: Why no response can arrive at present, for a person; empty while connected.
    """

    response: GetFactoryChartResponse | None
    problem: str = ""


_Arrived: TypeAlias = "Queue[Update | Exception]"


def follow(server: Server, request: GetFactoryChartRequest) -> Iterator[Update]:
    """Yield updates of a chart without end, at least one every `UPDATE_SECONDS`.

    Args:
        server: Its server.
        request: Where to start.

    Raises:
        ClientError: The call failed with an error that a new call does not solve.
    """
    arrived: _Arrived = Queue(_MOST_WAITING)
    # A thread and a queue, because reading from the stream itself has no timeout.
    Thread(target=_read_into, args=(arrived, server, request), daemon=True).start()
    problem = ""
    while True:
        try:
            item = arrived.get(timeout=UPDATE_SECONDS)
        except Empty:
            item = Update(None, problem)
        if isinstance(item, ServiceError):
            raise explain(item, server) from item
        if isinstance(item, Exception):
            raise item
        problem = item.problem
        yield item


def _read_into(arrived: _Arrived, server: Server, request: GetFactoryChartRequest) -> None:
    """Put all responses and problems into a queue, and the error that ends the stream."""

    def report(retry: Retry) -> None:
        if is_permanent(retry.error):
            raise retry.error
        arrived.put(Update(None, f"{why_to_wait(retry.error, server)}; retrying every few seconds"))

    client = Client(server.channel, api_key=server.api_key, timeout_seconds=math.inf, on_retry=report)
    try:
        for response in client.follow(FactoryServiceStub(server.channel).GetFactoryChart, request):
            arrived.put(Update(response))
        arrived.put(ClientError(f"{server.address} ended the stream; its version is too old to follow charts"))
    except Exception as error:  # the thread that reads the queue raises it
        arrived.put(error)
