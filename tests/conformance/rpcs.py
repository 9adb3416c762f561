"""Calls every RPC of the contract by its path with bytes, so that tests can send malformed requests too."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from sprocket_grpc.contract import FILES
from tests.support.resources import CASES, Case
from tests.support.service import Service

METHODS: list[MethodDescriptor] = [
    method for file in FILES for described in file.services_by_name.values() for method in described.methods
]


def path(method: MethodDescriptor) -> str:
    """Return the path of a method."""
    return f"/{method.containing_service.full_name}/{method.name}"


async def call(service: Service, method: MethodDescriptor, request: bytes) -> None:
    """Call a method, and read all responses, or the first one of an endless stream."""
    channel: Any = service.channel  # its types do not support calls with bytes
    if method.server_streaming:
        responses = channel.unary_stream(path(method))(request)
        async for _ in responses:
            if method.name.startswith("Follow"):
                responses.cancel()
                return
    else:
        await channel.unary_unary(path(method))(request)


async def valid_requests(service: Service) -> dict[str, bytes]:
    """Create resources of each kind, and return a valid request for every method, by its path.

    All of them succeed in the order of METHODS, if the Delete methods come last.
    """
    requests = {"/sprocket.v1.AuditService/ListAuditEntries": b""}
    for case in CASES:
        stored, spare = await case.create(service), await case.create(service)
        for name, fields in (_standard(case, stored) | _special(case, stored, spare)).items():
            request = getattr(case.pb, f"{name}Request")(**fields)
            requests[f"/sprocket.v1.{case.kind}Service/{name}"] = request.SerializeToString()
    without = {path(method) for method in METHODS} - set(requests)
    assert not without, f"give {without} a Case in tests/support/resources.py, or a line in _special of {__file__}"
    return requests


def _standard(case: Case, stored: Any) -> dict[str, dict[str, Any]]:
    """Return the request fields of each standard method."""
    of_id, of_message = {"id": stored.id}, {case.name: stored}
    return {
        f"Create{case.kind}": of_message,
        f"Get{case.kind}": of_id,
        f"List{case.kinds}": {},
        f"Update{case.kind}": of_message,
        f"Delete{case.kind}": of_id,
        f"BatchGet{case.kinds}": {"ids": [stored.id]},
        f"BatchCreate{case.kinds}": {case.plural: [stored]},
    }


def _special(case: Case, stored: Any, spare: Any) -> dict[str, dict[str, Any]]:
    """Return the request fields of each other method."""
    if case.name == "factory":
        return {"GetFactoryChart": {"factory_id": stored.id}, "FollowFactoryCharts": {"factory_ids": [stored.id]}}
    if case.name == "sprocket":
        return {"BatchDeleteSprockets": {"ids": [spare.id]}}
    return {}


def with_broken_text(message: Descriptor) -> bytes:
    """Serialise a message whose first string, at any depth, is not UTF-8; empty if the message has no string."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            return _delimited(field.number, b"ab\xc3\x28")
        if field.message_type and (inner := with_broken_text(field.message_type)):
            return _delimited(field.number, inner)
    return b""


def _delimited(number: int, content: bytes) -> bytes:
    """Serialise a short length-delimited field."""
    return bytes([number << 3 | 2, len(content)]) + content
