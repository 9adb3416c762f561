"""Calls the server: finds a factory and reads its chart."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import grpc

from sprocket.v1.factory_pb2 import (
    Factory,
    FactoryChart,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
    GetFactoryRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.cli.client.errors import ClientError, explain
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.resources.catalogue import Method, catalogue
from sprocket_grpc.cli.resources.names import identify

CALL_SECONDS = 10
HISTORY_SECONDS = 600
"""The deadline for reading a history, which may be millions of entries that are written to a file."""

_HOW_TO_LIST = "`sprocket-grpc list factories` shows all factories"


class ChartCall(Protocol):
    """The call of a stream that follows a chart."""

    def __iter__(self) -> Iterator[GetFactoryChartResponse]:
        """Yield the responses."""

    def cancel(self) -> object:
        """Cancel the call."""


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


class Client:
    """A client of one server. Failed calls raise ClientError, except in `call_chart`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._stub = FactoryServiceStub(server.channel)

    def find(self, name: str) -> Factory:
        """Return the factory that has this id or, if `name` is not an id, this display name.

        Raises:
            ClientError: No factory or more than one has this name, or the call failed.
        """
        return self._get(identify(self._call, catalogue()["factory"], name))

    def history(self, request: GetFactoryChartRequest) -> History:
        """Return a history, which is read chunk by chunk.

        Raises:
            ClientError: The call failed; while the chunks are read.
        """
        return History(self._responses(request))

    def call_chart(self, request: GetFactoryChartRequest) -> ChartCall:
        """Start to follow a chart. The call raises gRPC's own errors."""
        return self._stub.GetFactoryChart(request, metadata=self.server.metadata)

    def _responses(self, request: GetFactoryChartRequest) -> Iterator[GetFactoryChartResponse]:
        with self._explained():
            yield from self._stub.GetFactoryChart(request, timeout=HISTORY_SECONDS, metadata=self.server.metadata)

    def _get(self, identifier: str) -> Factory:
        try:
            request, metadata = GetFactoryRequest(id=identifier), self.server.metadata
            return self._stub.GetFactory(request, timeout=CALL_SECONDS, metadata=metadata).factory
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise ClientError(f"no factory has the id {identifier}; {_HOW_TO_LIST}") from error
            raise explain(error, self.server) from error

    def _call(self, method: Method, request: Any) -> Any:  # noqa: ANN401  # the messages of any method
        call = self.server.channel.unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        with self._explained():
            return call(request, timeout=CALL_SECONDS, metadata=self.server.metadata)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise explain(error, self.server) from error
