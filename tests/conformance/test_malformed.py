"""Requests whose bytes are not the message (row 17)."""

import asyncio

import grpc
import pytest

from tests.conformance.promises import refusal
from tests.conformance.rpcs import METHODS, call, path, valid_requests, with_broken_text
from tests.support.resources import CASES, Case
from tests.support.service import Service

REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_MALFORMED_REQUEST")

MALFORMED = {
    "no message at all": b"\xff" * 20,
    "a length over the end": b"\x0a\x7fab",
    "a tag that is cut": b"\x80",
    "the field 0": b"\x02\x00",
    "a group that never ends": b"\x0b",
    "text": b"<html>",
}


@pytest.mark.parametrize("resource", CASES, ids=lambda case: case.name)
async def test_bytes_that_are_not_the_request_are_refused_by_every_method(service: Service, resource: Case) -> None:
    for method in METHODS:
        if method.containing_service.file is resource.pb.DESCRIPTOR:
            requests = MALFORMED | {"a string that is not UTF-8": with_broken_text(method.input_type)}
            calls = (refusal(call(service, method, request), *REFUSED) for request in requests.values())
            named = [failure.info.metadata["method"] for failure in await asyncio.gather(*calls)]
            assert dict(zip(requests, named, strict=True)) == dict.fromkeys(requests, path(method))


async def test_a_field_that_the_server_does_not_know_is_ignored(service: Service) -> None:
    requests = await valid_requests(service)
    for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
        await call(service, method, requests[path(method)] + b"\xfa\x7f\x03new")
