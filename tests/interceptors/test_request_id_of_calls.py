"""Every call has a request id: the x-request-id of the client, or a new one from the server."""

import uuid
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest
from sprocket.v1.location_pb2 import ListLocationsRequest
from tests.support.errors import fails
from tests.support.resources import MISSING_ID, create_factory
from tests.support.service import Service

KEY = "x-request-id"


async def answered_id(call: Any) -> str:
    """Return the only request id in the trailers of a call."""
    [value] = [value for key, value in await call.trailing_metadata() if key == KEY]
    return str(value)


@pytest.mark.parametrize("given", ["7", "a" * 128, "Root=1-67891233-abcdef012345678912345678", "with space"])
async def test_the_request_id_of_the_client_is_returned(service: Service, given: str) -> None:
    call = service.locations.ListLocations(ListLocationsRequest(), metadata=((KEY, given),))
    await call
    assert await answered_id(call) == given


@pytest.mark.parametrize("given", [None, "", "a" * 129], ids=["none", "empty", "too long"])
async def test_a_call_without_a_valid_request_id_gets_a_new_one(service: Service, given: str | None) -> None:
    metadata = () if given is None else ((KEY, given),)
    ids = []
    for _ in range(2):
        call = service.locations.ListLocations(ListLocationsRequest(), metadata=metadata)
        await call
        ids.append(uuid.UUID(await answered_id(call)))
    assert ids[0] != ids[1]


async def test_an_error_has_the_request_id_in_its_details_and_trailers(service: Service) -> None:
    call = service.factories.GetFactory(GetFactoryRequest(id=MISSING_ID), metadata=((KEY, "mine"),))
    with fails(grpc.StatusCode.NOT_FOUND) as failure:
        await call
    assert failure.detail(RequestInfo).request_id == "mine"
    assert await answered_id(call) == "mine"


async def test_a_stream_has_the_request_id_in_its_trailers(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    call = service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id), metadata=((KEY, "mine"),))
    async for _ in call:
        pass
    assert await answered_id(call) == "mine"
