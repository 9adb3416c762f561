"""A fake chart server with scripted responses, for streams that a real server sends only when it fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from sprocket.v1.factory_pb2 import (
    Factory,
    FactoryChart,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
    GetFactoryRequest,
    GetFactoryResponse,
)

IDENTIFIER = "01771fc9-0000-7000-8000-000000000001"
TITLE = "Works \x1b[31m$1"
_SECOND = 1_000_000


@dataclass
class ChartServer:
    """A server with one factory, whose chart is streamed from a script.

    Attributes:
        streams: The streams for consecutive calls: the responses, and the final status, or None to keep the stream
            open.
        requests: The requests that it received.
        address: The address that it listens on.
    """

    streams: list[tuple[list[GetFactoryChartResponse], grpc.StatusCode | None]]
    requests: list[GetFactoryChartRequest] = field(default_factory=list)
    address: str = ""
    _end: threading.Event = field(default_factory=threading.Event)

    def get_factory(self, request: GetFactoryRequest, _: grpc.ServicerContext) -> GetFactoryResponse:
        """Return the factory."""
        return GetFactoryResponse(factory=Factory(id=request.id, display_name=TITLE))

    def get_chart(
        self, request: GetFactoryChartRequest, context: grpc.ServicerContext
    ) -> Iterator[GetFactoryChartResponse]:
        """Send the next stream of the script."""
        responses, status = self.streams[len(self.requests)]
        self.requests.append(request)
        yield from responses
        if status is None:
            context.add_callback(self._end.set)
            self._end.wait()
        elif status is not grpc.StatusCode.OK:
            context.abort(status, "scripted")


@contextmanager
def chart_server(*streams: tuple[list[GetFactoryChartResponse], grpc.StatusCode | None]) -> Iterator[ChartServer]:
    """Run a fake chart server until the block ends."""
    chart_server = ChartServer(list(streams))
    server = grpc.server(ThreadPoolExecutor(4))
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "GetFactory": grpc.unary_unary_rpc_method_handler(
            chart_server.get_factory, GetFactoryRequest.FromString, GetFactoryResponse.SerializeToString
        ),
        "GetFactoryChart": grpc.unary_stream_rpc_method_handler(
            chart_server.get_chart, GetFactoryChartRequest.FromString, GetFactoryChartResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("sprocket.v1.FactoryService", handlers),))
    chart_server.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield chart_server
    finally:
        server.stop(None).wait()


def chart_response(token: str, *entries: tuple[int, int, int], end_of_history: bool = False) -> GetFactoryChartResponse:
    """Make a response with entries: for each the Unix time in seconds, the goal and the actual."""
    times, goals, actuals = zip(*entries, strict=True) if entries else ((), (), ())
    chart = FactoryChart(
        time_micros=[each * _SECOND for each in times],
        sprocket_production_goal=goals,
        sprocket_production_actual=actuals,
    )
    return GetFactoryChartResponse(chart=chart, resume_token=token, end_of_history=end_of_history)
