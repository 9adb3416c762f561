"""Entries of the audit log, on their way from rows to messages."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.contract import MESSAGES
from sprocket_grpc.query.values import Kind
from sprocket_grpc.storage.listing import Row


class AuditEntries:
    """Describes the entries of the audit log to the method that lists them.

    Attributes:
        kinds: The fields that they can be filtered and ordered by.
    """

    kinds: Mapping[str, Kind] = {
        "id": Kind.IDENTIFIER,
        "create_time": Kind.TIME,
        "principal": Kind.TEXT,
        "request_id": Kind.TEXT,
        "method": Kind.TEXT,
        "resource_type": Kind.TEXT,
        "resource_id": Kind.IDENTIFIER,
    }

    def assign(self, message: AuditEntry, row: Row) -> None:
        """Set all fields of a message from a row."""
        message.id, create_micros, message.principal, message.request_id, message.method, *resource = row
        message.create_time.FromMicroseconds(create_micros)
        message.resource_type, message.resource_id, before, after = resource
        descriptor = MESSAGES.get(message.resource_type)
        if before is not None:
            message.before.update(_json(descriptor, before))
        if after is not None:
            message.after.update(_json(descriptor, after))


def _json(descriptor: Descriptor | None, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the fields of a row, as PostgreSQL writes them in JSON, into what protobuf's JSON mapping has for them."""
    fields: Mapping[str, FieldDescriptor] = descriptor.fields_by_name if descriptor else {}
    return {name: _value(fields.get(name), value) for name, value in stored.items()}


def _value(field: FieldDescriptor | None, value: Any) -> Any:  # noqa: ANN401  # any that JSON has
    match field.type if field else None:
        case FieldDescriptor.TYPE_INT64:
            return str(value)
        case FieldDescriptor.TYPE_DOUBLE:
            return float(value)
        case FieldDescriptor.TYPE_MESSAGE:
            return _time(value)
        case None if isinstance(value, int):
            return str(value)  # the field was removed, and may have had 64 bits
    return value


def _time(text: str) -> str:
    """Convert a time to UTC: the row has the time zone of the session that wrote it."""
    time = Timestamp()
    time.FromJsonString(text)
    return time.ToJsonString()
