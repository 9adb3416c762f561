"""What the audit log holds, as an admin gets it, and calls that have a request id of their own."""

from typing import Any

from google.protobuf.json_format import MessageToDict

from sprocket.v1.audit_pb2 import AuditEntry, ListAuditEntriesRequest
from tests.support.service import Service


async def entries(service: Service, condition: str = "", **fields: Any) -> list[AuditEntry]:
    """List entries, the newest first, up to a thousand."""
    request = ListAuditEntriesRequest(filter=condition, page_size=1000, **fields)
    response = await service.audit.ListAuditEntries(request)
    assert response.next_page_token == ""
    return list(response.audit_entries)


async def call_as(service: Service, request_id: str, path: str, request: Any) -> bytes:
    """Call a method by its name under a request id."""
    channel: Any = service.channel  # its types know no calls of bytes
    call = channel.unary_unary(path)(request.SerializeToString(), metadata=(("x-request-id", request_id),))
    answer: bytes = await call
    return answer


def as_logged(message: Any) -> dict[str, Any]:
    """Return a resource as the audit log has to have it: protobuf's own JSON of all its fields but etag."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    del fields["etag"]
    return fields


def states(entry: AuditEntry) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what an entry says about before and after."""
    before, after = (MessageToDict(getattr(entry, name)) for name in ("before", "after"))
    return before if entry.HasField("before") else None, after if entry.HasField("after") else None


def summary(entry: AuditEntry) -> tuple[str, str]:
    """Return what was done to what kind of resource."""
    verb = {(False, True): "created", (True, True): "updated", (True, False): "deleted"}
    return verb[entry.HasField("before"), entry.HasField("after")], entry.resource_type.removeprefix("sprocket.v1.")
