"""Calls the server: finds a factory and reads its chart."""

from collections.abc import Iterable, Iterator

import grpc

from sprocket.client import ServiceError
from sprocket.v1.factory_pb2 import (
    Factory,
    FactoryChart,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
    GetFactoryRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.cli.client.errors import ClientError, explain
from sprocket_grpc.cli.resources.calls import Caller, explained
from sprocket_grpc.cli.resources.catalogue import catalogue
from sprocket_grpc.cli.resources.names import identify

_HOW_TO_LIST = "`sprocket-grpc list factories` shows all factories"


class History:
    """The chunks of a history, to iterate over once.

    Attributes:
        retained_from: The time of the first entry of the chart that is kept, in microseconds since 1970, if older ones
            of the range have expired. Known with the first chunk.
    """

    def __init__(self, responses: Iterable[GetFactoryChartResponse]) -> None:
        self._responses = responses
        self.retained_from: int | None = None

    def __iter__(self) -> Iterator[FactoryChart]:
        """Yield the chunks."""
        for response in self._responses:
            self.retained_from = self.retained_from or retained_from(response)
            yield response.chart


def retained_from(response: GetFactoryChartResponse) -> int | None:
    """Return the time that a response has of the first entry that is kept, in microseconds since 1970."""
    return response.retained_from_time.ToMicroseconds() if response.HasField("retained_from_time") else None


class ChartClient:
    """Reads the charts of one server. Failed calls raise ClientError."""

    def __init__(self, caller: Caller) -> None:
        self.server = caller.server
        self._caller = caller
        self._stub = FactoryServiceStub(caller.client.channel)

    def find(self, name: str) -> Factory:
        """Return the factory that has this id or, if `name` is not an id, this display name.

        Raises:
            ClientError: No factory or more than one has this name, or the call failed.
        """
        identifier = identify(self._caller.call, catalogue()["factory"], name)
        try:
            return self._caller.client.call(self._stub.GetFactory, GetFactoryRequest(id=identifier)).factory
        except ServiceError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                raise ClientError(f"no factory has the id {identifier}; {_HOW_TO_LIST}") from error
            raise explain(error, self.server) from error

    def history(self, request: GetFactoryChartRequest) -> History:
        """Return a history, which is read chunk by chunk, and goes on where it was if the connection breaks.

        Raises:
            ClientError: The call failed; while the chunks are read.
        """
        return History(self._responses(request))

    def _responses(self, request: GetFactoryChartRequest) -> Iterator[GetFactoryChartResponse]:
        with explained(self.server):
            yield from self._caller.client.follow(self._stub.GetFactoryChart, request)
