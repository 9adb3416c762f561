"""Asks the server: which factory is meant, and what its chart is."""

import difflib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc

from sprocket.v1.factory_pb2 import (
    Factory,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
    GetFactoryRequest,
    ListFactoriesRequest,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.chart_command.errors import ChartError, explain

CALL_SECONDS = 10
HISTORY_SECONDS = 600
"""How long a history may take to arrive: a chart of millions of entries that is written to a file."""

# gRPC would wait for up to two minutes before it looks again for a server that was away.
_CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2_000)]

_SHOWN_FACTORIES = 10
_NAMES_ASKED_FOR = 1_000


class ChartCall(Protocol):
    """A stream of a chart that goes on."""

    def __iter__(self) -> Iterator[GetFactoryChartResponse]:
        """Read it."""

    def cancel(self) -> object:
        """End it."""


class Client:
    """A client of one server. Every error of a call is a ChartError, but for those of `call_chart`."""

    def __init__(self, server: str, channel: grpc.Channel) -> None:
        self.server = server
        self._stub = FactoryServiceStub(channel)

    def find(self, name: str) -> Factory:
        """Return the factory that has this id or, if it is none, this display name.

        Raises:
            ChartError: There is none, or several; or the server cannot be asked.
        """
        if identifier := _identifier(name):
            return self._get(identifier)
        request = ListFactoriesRequest(filter=f'display_name = "{_escaped(name)}"', page_size=_SHOWN_FACTORIES + 1)
        found = self._list(request)
        if not found:
            raise self._unknown(name)
        if len(found) > 1:
            raise _ambiguous(name, found)
        return found[0]

    def history(self, request: GetFactoryChartRequest) -> Iterator[GetFactoryChartResponse]:
        """Read a history, stretch by stretch.

        Raises:
            ChartError: It cannot be had, or not any more.
        """
        with self._explained():
            yield from self._stub.GetFactoryChart(request, timeout=HISTORY_SECONDS)

    def call_chart(self, request: GetFactoryChartRequest) -> ChartCall:
        """Begin to read a chart, with gRPC's own errors."""
        return self._stub.GetFactoryChart(request)

    def _get(self, identifier: str) -> Factory:
        try:
            return self._stub.GetFactory(GetFactoryRequest(id=identifier), timeout=CALL_SECONDS).factory
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise ChartError(f"there is no factory with the id {identifier}; {self._how_to_list()}") from error
            raise explain(error, self.server) from error

    def _list(self, request: ListFactoriesRequest) -> list[Factory]:
        with self._explained():
            return list(self._stub.ListFactories(request, timeout=CALL_SECONDS).factories)

    def _unknown(self, name: str) -> ChartError:
        names = {each.display_name for each in self._list(ListFactoriesRequest(page_size=_NAMES_ASKED_FOR))}
        near = _near(name, names)
        suggestion = f"did you mean {' or '.join(map(repr, near))}? Or " if near else ""
        return ChartError(f"there is no factory called {name!r}; {suggestion}{self._how_to_list()}")

    def _how_to_list(self) -> str:
        return f"list all with `grpcurl -plaintext {self.server} sprocket.v1.FactoryService/ListFactories`"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise explain(error, self.server) from error


@contextmanager
def connected(server: str) -> Iterator[Client]:
    """Give a client of the server at an address."""
    with grpc.insecure_channel(server, options=_CHANNEL_OPTIONS) as channel:
        yield Client(server, channel)


def _identifier(name: str) -> str | None:
    try:
        identifier = str(uuid.UUID(name))
    except ValueError:
        return None
    return identifier if identifier == name.lower() else None


def _escaped(name: str) -> str:
    return "".join(f"\\{character}" if character in "\"'\\*" else character for character in name)


def _near(name: str, names: set[str]) -> list[str]:
    folded: dict[str, str] = {each.casefold(): each for each in sorted(names)}
    return [folded[each] for each in difflib.get_close_matches(name.casefold(), folded)]


def _ambiguous(name: str, found: list[Factory]) -> ChartError:
    shown = ", ".join(f"{each.id} ({each.display_name})" for each in found[:_SHOWN_FACTORIES])
    more = ", and more" if len(found) > _SHOWN_FACTORIES else ""
    return ChartError(f"several factories are called {name!r}; say which by its id: {shown}{more}")
