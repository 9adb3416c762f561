"""A server of locations that holds calls until as many as an import can have in flight have arrived."""

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import google.rpc.error_details_pb2 as details
import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket.v1.location_pb2 import (
    BatchCreateLocationsRequest,
    BatchCreateLocationsResponse,
    UpdateLocationRequest,
    UpdateLocationResponse,
)
from tests.support.command_line import PATIENCE_SECONDS


class SlowServer:
    """Writes locations whose names are numbers, and never the refused ones.

    Attributes:
        begun: The name of the first location of each call, in the order of arrival.
        most: The largest number of calls at a time.
    """

    def __init__(self, refused: Collection[int], full: tuple[int, int]) -> None:
        """Make one.

        Args:
            refused: The names of the locations to refuse.
            full: The first name that is held, and the number of calls that have to arrive until it goes on.
        """
        self.begun: list[int] = []
        self.most = 0
        self._open = 0
        self._refused = refused
        self._held_from, self._wanted = full
        self._changed = threading.Condition()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the methods that an import of locations calls."""
        handler = grpc.unary_unary_rpc_method_handler
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ListLocations": handler(lambda *_: b""),
            "BatchCreateLocations": handler(
                self._batch_create,
                BatchCreateLocationsRequest.FromString,
                BatchCreateLocationsResponse.SerializeToString,
            ),
            "UpdateLocation": handler(
                self._update, UpdateLocationRequest.FromString, UpdateLocationResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler("sprocket.v1.LocationService", methods)

    def _batch_create(
        self, request: BatchCreateLocationsRequest, context: grpc.ServicerContext
    ) -> BatchCreateLocationsResponse:
        numbers = [int(each.display_name) for each in request.locations]
        self._hold(numbers[0])
        if wrong := [f"locations[{at}].city" for at, number in enumerate(numbers) if number in self._refused]:
            context.abort_with_status(rpc_status.to_status(_invalid(wrong)))
        for each in request.locations:
            each.create_time.GetCurrentTime()
        return BatchCreateLocationsResponse(locations=request.locations)

    def _update(self, request: UpdateLocationRequest, _: grpc.ServicerContext) -> UpdateLocationResponse:
        self._hold(int(request.location.display_name))
        request.location.create_time.GetCurrentTime()
        return UpdateLocationResponse(location=request.location)

    def _hold(self, number: int) -> None:
        with self._changed:
            self.begun.append(number)
            self._open += 1
            self.most = max(self.most, self._open)
            self._changed.notify_all()
            if number >= self._held_from:
                self._changed.wait_for(lambda: len(self.begun) >= self._wanted, PATIENCE_SECONDS / 4)
            self._open -= 1


def _invalid(fields: Collection[str]) -> Status:
    shown = list(fields)[:20]  # an error has to fit into the trailers
    found = [details.BadRequest.FieldViolation(field=each, description="required") for each in shown]
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="city: required")
    status.details.add().Pack(details.BadRequest(field_violations=found))
    return status


@contextmanager
def serving_slowly(full: tuple[int, int], refused: Collection[int] = ()) -> Iterator[tuple[SlowServer, str]]:
    """Run a server until the block ends; yield it with its address."""
    slow = SlowServer(refused, full)
    with ThreadPoolExecutor(64) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([slow.handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield slow, f"127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()
