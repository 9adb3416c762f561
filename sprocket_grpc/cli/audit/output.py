"""Entries of the audit log, as text for people and as JSON for programs."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.cli.client.output import printable, to_json
from sprocket_grpc.contract import MESSAGES

State: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = Mapping[str, FieldDescriptor]

_64_BITS = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_IN_FIRST_LINE = {"id", "create_time", "update_time"}
"""Fields of a resource that the first line of an entry makes superfluous."""


def as_json(entry: AuditEntry) -> str:
    """Return an entry in the JSON mapping of protobuf, on one line."""
    values = _as_dict(entry)
    # The map in a Struct has no order, and reading it from the wire changes the order.
    states = {name: dict(sorted(values[name].items())) for name in ("before", "after") if name in values}
    return to_json(values | states)


def as_text(entry: AuditEntry) -> str:
    """Return who wrote what and how, and the fields that changed, with an empty line at the end."""
    time = f"{entry.create_time.ToDatetime():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    kind = entry.resource_type.rpartition(".")[2]
    lines = [f"{time} UTC  {entry.principal} {_verb(entry)} {kind} {entry.resource_id}"]
    if entry.method:
        lines.append(f"  by {entry.method.rpartition('/')[2]}, request id {entry.request_id}")
    lines += _changes(_as_dict(entry.before), _as_dict(entry.after), _fields_of(entry.resource_type))
    return "\n".join([*map(printable, lines), ""])


def _as_dict(message: Any) -> dict[str, Any]:  # noqa: ANN401  # an entry or a Struct
    return MessageToDict(message, preserving_proto_field_name=True)


def _verb(entry: AuditEntry) -> str:
    if not entry.HasField("before"):
        return "created"
    return "updated" if entry.HasField("after") else "deleted"


def _fields_of(resource_type: str) -> Fields:
    """Return the fields of a resource by name: none for a resource that the contract does not have, such as a key."""
    descriptor = MESSAGES.get(resource_type)
    return descriptor.fields_by_name if descriptor else {}


def _changes(before: State, after: State, fields: Fields) -> list[str]:
    """Return a line for each field that differs; for a creation or deletion, that is every field."""
    names = sorted(name for name in {*before, *after} - _IN_FIRST_LINE if before.get(name) != after.get(name))
    width = max(map(len, names), default=0)
    return [f"  {name:{width}}  {_change(name, before, after, fields.get(name))}" for name in names]


def _change(name: str, before: State, after: State, field: FieldDescriptor | None) -> str:
    return " -> ".join(_value(field, state[name]) for state in (before, after) if name in state)


def _value(field: FieldDescriptor | None, value: Any) -> str:  # noqa: ANN401  # any JSON value
    """Return a value in JSON. A text keeps its quotes, so that it does not look like a number.

    Protobuf's JSON writes numbers of 64 bits as strings, and a Struct has only floating-point numbers.
    """
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    is_number = field is not None and field.cpp_type in _64_BITS and isinstance(value, str)
    return value if is_number else to_json(value)
