"""Requests whose bytes are not a valid message."""

import asyncio

import grpc
import pytest

from sprocket_grpc.contract import SERVICES
from tests.conformance.promises import refusal
from tests.conformance.rpcs import METHODS, call, path, valid_requests, with_broken_text
from tests.support.service import Service

REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_MALFORMED_REQUEST")

MALFORMED = {
    "no message": b"\xff" * 20,
    "a length beyond the end": b"\x0a\x7fab",
    "a truncated tag": b"\x80",
    "the field number 0": b"\x02\x00",
    "a group without an end": b"\x0b",
    "text": b"<html>",
}


@pytest.mark.parametrize("name", SERVICES)
async def test_the_server_has_every_service_and_method_of_the_contract(service: Service, name: str) -> None:
    for method in METHODS:
        if method.containing_service.full_name == name:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call(service, method, MALFORMED["text"])
            unserved = raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert not unserved, f"{path(method)}: add the service in _add_services of server/grpc_server.py"


@pytest.mark.parametrize("name", SERVICES)
async def test_every_method_refuses_bytes_that_are_not_a_valid_request(service: Service, name: str) -> None:
    for method in METHODS:
        if method.containing_service.full_name == name:
            requests = MALFORMED | {"a string that is not UTF-8": with_broken_text(method.input_type)}
            calls = (refusal(call(service, method, request), *REFUSED) for request in requests.values())
            named = [failure.info.metadata["method"] for failure in await asyncio.gather(*calls)]
            assert dict(zip(requests, named, strict=True)) == dict.fromkeys(requests, path(method))


async def test_unknown_fields_are_ignored(service: Service) -> None:
    requests = await valid_requests(service)
    for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
        await call(service, method, requests[path(method)] + b"\xfa\x7f\x03new")
