"""A client in Python: lists pages, retries a create safely, reads an error, follows a chart through a server restart.

Needs `pip install sprocket-grpc googleapis-common-protos`.
"""

import os
import time
import uuid
from collections.abc import Iterator
from importlib import resources

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from sprocket.v1.factory_pb2 import (
    CreateFactoryRequest,
    DeleteFactoryRequest,
    Factory,
    GetFactoryChartRequest,
    GetFactoryChartResponse,
)
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest, Location
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_pb2 import ListSprocketsRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub

SERVER = os.environ.get("SPROCKET_CLIENT_SERVER", "127.0.0.1:50051")
API_KEY = os.environ.get("SPROCKET_CLIENT_API_KEY")
METADATA = (("authorization", f"Bearer {API_KEY}"),) if API_KEY else ()
CALL_SECONDS = 5
FOLLOW_SECONDS = 60
ATTEMPTS = 5


def main() -> None:
    """Run the steps of the example, and print a line about each."""
    # Tells gRPC which calls to retry, and to send none to a server that is not SERVING.
    config = (resources.files("sprocket.v1") / "service_config.json").read_text()
    reconnect = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
    options = [("grpc.service_config", config), *reconnect]
    with grpc.insecure_channel(SERVER, options=options) as channel:
        pages = list(list_sprockets(SprocketServiceStub(channel)))
        say(f"listed {sum(map(len, pages))} sprockets on {len(pages)} pages")
        locations, factories = LocationServiceStub(channel), FactoryServiceStub(channel)
        first = locations.ListLocations(ListLocationsRequest(page_size=1), timeout=CALL_SECONDS, metadata=METADATA)
        factory = create_factory(factories, first.locations[0].id)
        try:
            say(f"refused: {refusal(locations)}")
            follow_until_changed(factories, factory)
        finally:
            request = DeleteFactoryRequest(id=factory.id, request_id=str(uuid.uuid4()))
            factories.DeleteFactory(request, timeout=CALL_SECONDS, metadata=METADATA)


def list_sprockets(sprockets: SprocketServiceStub) -> Iterator[list[Sprocket]]:
    """Yield all sprockets, page by page."""
    request = ListSprocketsRequest(page_size=40)
    while True:
        response = sprockets.ListSprockets(request, timeout=CALL_SECONDS, metadata=METADATA)
        yield list(response.sprockets)
        request.page_token = response.next_page_token
        if not request.page_token:
            return


def create_factory(factories: FactoryServiceStub, location_id: str) -> Factory:
    """Create exactly one factory, with as many attempts as it takes."""
    factory = Factory(display_name="Example", location_id=location_id, sprocket_production_goal=10)
    # All attempts have the same id, so the server treats them as one request.
    request = CreateFactoryRequest(factory=factory, request_id=str(uuid.uuid4()))
    created = attempt_create(factories, request)
    again = attempt_create(factories, request)  # as if the first response had been lost
    say(f"created factory {created.id}; a retry with the same request_id returned {again.id}")
    return created


def attempt_create(factories: FactoryServiceStub, request: CreateFactoryRequest) -> Factory:
    """Retry while the server is unavailable; without a request_id this could create duplicates."""
    attempt = 1
    while True:
        try:
            return factories.CreateFactory(request, timeout=CALL_SECONDS, metadata=METADATA).factory
        except grpc.RpcError as error:
            transient = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            if not transient or attempt == ATTEMPTS:
                raise
        time.sleep(2**attempt / 10)
        attempt += 1


def refusal(locations: LocationServiceStub) -> str:
    """Send an invalid request, and return the reason of the refusal: from the details of the error, not its text."""
    invalid = Location(display_name=" ", address="1 Main St", city="Springfield", postal_code="1", country_code="USA")
    try:
        locations.CreateLocation(CreateLocationRequest(location=invalid), timeout=CALL_SECONDS, metadata=METADATA)
    except grpc.RpcError as error:
        info, request = ErrorInfo(), BadRequest()
        unpack_details(error, info, request)
        return f"{info.reason}: {', '.join(violation.field for violation in request.field_violations)}"
    raise AssertionError("the server accepted an invalid location")


def unpack_details(error: grpc.RpcError, *messages: Message) -> None:
    """Unpack the details of an error into messages of the same types."""
    for item in error.trailing_metadata() or ():
        if item.key == "grpc-status-details-bin" and isinstance(item.value, bytes):
            for detail in Status.FromString(item.value).details:
                for message in messages:
                    detail.Unpack(message)


def follow_until_changed(factories: FactoryServiceStub, factory: Factory) -> None:
    """Follow the chart of a factory until its goal changes, and print every entry."""
    for response in follow(factories, factory.id):
        for goal, actual in zip(
            response.chart.sprocket_production_goal, response.chart.sprocket_production_actual, strict=True
        ):
            say(f"goal {goal}, actual {actual}")
            if goal != factory.sprocket_production_goal:
                return


def follow(factories: FactoryServiceStub, factory_id: str) -> Iterator[GetFactoryChartResponse]:
    """Yield every response of a chart's stream once, across restarts of the server."""
    request = GetFactoryChartRequest(factory_id=factory_id, follow=True)
    deadline = time.monotonic() + FOLLOW_SECONDS
    say(f"following factory {factory_id}")
    while True:
        try:
            left = deadline - time.monotonic()
            for response in factories.GetFactoryChart(request, timeout=left, metadata=METADATA):
                yield response
                request.resume_token = response.resume_token
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            say("the stream broke; resuming after the last response")
            time.sleep(1)


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
