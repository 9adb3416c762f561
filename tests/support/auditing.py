"""Reads the audit log through the API, and makes calls with a given x-request-id."""

from typing import Any

from google.protobuf.json_format import MessageToDict

from sprocket.v1.audit_pb2 import AuditEntry, ListAuditEntriesRequest
from tests.support.service import Service


async def entries(service: Service, condition: str = "", **fields: Any) -> list[AuditEntry]:
    """List at most 1,000 entries, the newest first."""
    request = ListAuditEntriesRequest(filter=condition, page_size=1000, **fields)
    response = await service.audit.ListAuditEntries(request)
    assert response.next_page_token == ""
    return list(response.audit_entries)


async def call_as(service: Service, request_id: str, path: str, request: Any) -> bytes:
    """Call the method at a path with a given x-request-id, and return the serialised response."""
    channel: Any = service.channel  # its types do not support calls with bytes
    call = channel.unary_unary(path)(request.SerializeToString(), metadata=(("x-request-id", request_id),))
    answer: bytes = await call
    return answer


def as_logged(message: Any) -> dict[str, Any]:
    """Return the expected content of the audit log: the protobuf JSON of all fields of a resource except etag."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    del fields["etag"]
    return fields


def states(entry: AuditEntry) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the resource before and after the change in an entry; None where it did not exist."""
    before, after = (MessageToDict(getattr(entry, name)) for name in ("before", "after"))
    return before if entry.HasField("before") else None, after if entry.HasField("after") else None


def summary(entry: AuditEntry) -> tuple[str, str]:
    """Return the kind of change and the type of the resource."""
    verb = {(False, True): "created", (True, True): "updated", (True, False): "deleted"}
    return verb[entry.HasField("before"), entry.HasField("after")], entry.resource_type.removeprefix("sprocket.v1.")
