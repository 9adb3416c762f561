"""Calls without permission are refused before the request is parsed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket_grpc.auth.permissions import PERMISSIONS
from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import refusal, refuses
from tests.conformance.rpcs import METHODS, path, valid_requests, with_broken_text
from tests.support.callers import Metadata, bearer, create_key
from tests.support.resources import CASES, MISSING_ID, Case
from tests.support.service import Service, running_service

UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")
PERMISSION_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")

SUBJECTS = {
    "AuditService": "audit_entries",
    "FactoryService": "factories",
    "LocationService": "locations",
    "SprocketService": "sprockets",
    "SprocketTypeService": "sprocket_types",
}
"""What the permissions of each service are called."""


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Service]:
    """A server that requires API keys, on the database of `service`, which accepts anonymous calls."""
    async with running_service(database_url, Settings(api_keys=True)) as running:
        yield running


async def send(service: Service, method: MethodDescriptor, request: bytes, metadata: Metadata) -> None:
    """Call a method, and read all responses, or the first one of an endless stream."""
    channel: Any = service.channel  # its types do not support calls with bytes
    if method.server_streaming:
        responses = channel.unary_stream(path(method))(request, metadata=metadata)
        async for _ in responses:
            if method.name.startswith("Follow"):
                responses.cancel()
                return
    else:
        await channel.unary_unary(path(method))(request, metadata=metadata)


def missing(method: MethodDescriptor) -> bytes:
    """Return a request for a missing resource, if the method has a field for an id."""
    message: Any = message_factory.GetMessageClass(method.input_type)()
    for name in ("id", "factory_id"):
        if name in method.input_type.fields_by_name:
            setattr(message, name, MISSING_ID)
    for name in ("ids", "factory_ids"):
        if name in method.input_type.fields_by_name:
            getattr(message, name).append(MISSING_ID)
    return bytes(message.SerializeToString())


async def requests_of(service: Service, method: MethodDescriptor) -> list[bytes]:
    """Return requests for existing and missing resources, an empty request, and malformed ones."""
    valid = (await valid_requests(service))[path(method)]
    return [valid, missing(method), b"", b"\xff" * 20, with_broken_text(method.input_type), b"\x0a\x7fab"]


def needed(method: MethodDescriptor) -> str:
    """Return the permission that a method requires, without the prefix `sprocket.`."""
    reads = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return f"{SUBJECTS[method.containing_service.name]}.{'read' if reads else 'write'}"


NARROW = {needed(method) for method in METHODS} | {"force"}
BUNDLES = {
    "read": {each for each in NARROW if each.endswith(".read")} - {"audit_entries.read"},
    "write": NARROW - {"audit_entries.read"},
    "admin": NARROW,
}


def test_the_permissions_are_those_of_the_services_and_three_bundles() -> None:
    assert set(PERMISSIONS) == {f"sprocket.{each}" for each in NARROW | set(BUNDLES)}


@pytest.mark.parametrize("permission", [*BUNDLES, *sorted(NARROW)])
async def test_a_permission_grants_its_methods_and_no_others(
    service: Service, guarded: Service, database_url: str, permission: str
) -> None:
    caller = bearer(create_key(database_url, permission).text)
    requests, granted = await valid_requests(service), BUNDLES.get(permission, {permission})
    for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
        call = send(guarded, method, requests[path(method)], caller)
        if needed(method) in granted:
            await call
        else:
            await refusal(call, *PERMISSION_DENIED)


@pytest.mark.parametrize("method", METHODS, ids=path)
async def test_each_method_requires_its_permission_before_the_request_is_parsed(
    service: Service, guarded: Service, database_url: str, method: MethodDescriptor
) -> None:
    caller = bearer(create_key(database_url, *sorted(NARROW - {needed(method)})).text)
    calls = [send(guarded, method, each, caller) for each in await requests_of(service, method)]
    failures = await asyncio.gather(*(refusal(call, *PERMISSION_DENIED) for call in calls))
    assert {failure.info.metadata["right"] for failure in failures} == {f"sprocket.{needed(method)}"}
    assert len({failure.message for failure in failures}) == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.has_force], ids=lambda case: case.name)
@pytest.mark.parametrize("fields", [{}, {"validate_only": True}, {"allow_missing": True}], ids=str)
async def test_a_cascading_delete_requires_a_permission_of_its_own_before_the_request_is_validated(
    service: Service, guarded: Service, database_url: str, case: Case, fields: dict[str, bool]
) -> None:
    caller = bearer(create_key(database_url, *sorted(NARROW - {"force"})).text)
    delete: Any = case.method(guarded, "Delete")
    stored = await case.create(service)
    for identifier in (stored.id, MISSING_ID, "nonsense"):
        with refuses(*PERMISSION_DENIED) as failure:
            await delete(case.request("Delete", id=identifier, force=True, **fields), metadata=caller)
        assert failure.info.metadata == {"right": "sprocket.force"}
    await delete(case.request("Delete", id=stored.id), metadata=caller)


@pytest.mark.parametrize("method", METHODS, ids=path)
async def test_every_method_refuses_missing_or_invalid_credentials_with_the_same_error(
    service: Service, guarded: Service, database_url: str, method: MethodDescriptor
) -> None:
    key = create_key(database_url, "admin").text
    other = create_key(database_url, "admin").text
    bad: list[Metadata] = [
        (),
        bearer(""),
        bearer("x"),
        bearer(key[:-1]),
        bearer(key.rpartition("_")[0] + "_" + other.rpartition("_")[2]),  # the secret of another key
        bearer("sprocket_" + "0" * 32 + "_" + "0" * 64),
        bearer("e30.e30.e30"),
        (("authorization", key),),
        (("authorization", f"Basic {key}"),),
    ]
    calls = [
        refusal(send(guarded, method, request, metadata), *UNAUTHENTICATED)
        for request in await requests_of(service, method)
        for metadata in bad
    ]
    failures = await asyncio.gather(*calls)
    assert len({failure.message for failure in failures}) == 1
    assert {tuple(failure.info.metadata) for failure in failures} == {()}


async def test_a_refused_write_changes_nothing(service: Service, guarded: Service, database_url: str) -> None:
    requests = await valid_requests(service)
    caller = bearer(create_key(database_url, "read").text)
    writes = [method for method in METHODS if needed(method).endswith(".write")]
    for method in writes:
        with refuses(*PERMISSION_DENIED):
            await send(guarded, method, requests[path(method)], caller)
    for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
        await send(service, method, requests[path(method)], ())  # succeeds only if all resources still exist
