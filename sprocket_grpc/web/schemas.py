"""JSON Schemas of messages, as protobuf's JSON has them, with the comments of the contract."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sprocket_grpc.contract import commented_files, read_comments

Schema: TypeAlias = dict[str, Any]

_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
"""The forms of scalars. A 64-bit integer is a string, since JavaScript has no such numbers."""

_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["displayName,locationId"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
"""The messages that have a form of their own in JSON."""

_REQUEST = "Request"


@cache
def comments() -> Mapping[str, str]:
    """Return the comments of the contract, by names such as `Factory.id`."""
    return {name: _plain(text) for name, text in read_comments([*commented_files().values()]).items()}


def comment(full_name: str) -> Schema:
    """Return the description of an element, empty if it has no comment."""
    text = comments().get(full_name.removeprefix("sprocket.v1."))
    return {"description": text} if text else {}


def reference(message: Descriptor) -> Schema:
    """Return a reference to the schema of a message."""
    return _WELL_KNOWN.get(message.full_name) or {"$ref": f"#/components/schemas/{message.full_name}"}


def _message_schema(message: Descriptor) -> Schema:
    """Return the schema of a message. A request has no other fields than its own, since the server refuses them."""
    properties = {field.json_name: _field_schema(field) for field in message.fields}
    closed = {"additionalProperties": False} if message.name.endswith(_REQUEST) else {}
    return {"type": "object", **comment(message.full_name), "properties": properties, **closed}


def _enum_schema(enum: EnumDescriptor) -> Schema:
    """Return the schema of an enum, with the comments of its values in the description."""
    values = [f"- `{each.name}`: {comments().get(f'{enum.name}.{each.name}', '')}" for each in enum.values]
    own = comment(enum.full_name).get("description", enum.name)
    return {"type": "string", "enum": [each.name for each in enum.values], "description": "\n".join([own, "", *values])}


def _field_schema(field: FieldDescriptor) -> Schema:
    """Return the schema of a field."""
    single = _single(field)
    schema = {"type": "array", "items": single} if field.is_repeated else single
    return {**comment(field.full_name), **schema}


def reached(messages: Iterable[Descriptor]) -> Mapping[str, Schema]:
    """Return the schemas of messages, and of the messages and enums in their fields at any depth, by their names."""
    schemas: dict[str, Schema] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.full_name not in schemas:
            schemas[message.full_name] = _message_schema(message)
            enums = [field.enum_type for field in message.fields if field.enum_type]
            schemas |= {each.full_name: _enum_schema(each) for each in enums}
            inner = [field.message_type for field in message.fields if field.message_type]
            waiting += [each for each in inner if each.full_name not in _WELL_KNOWN]
    return dict(sorted(schemas.items()))


def _single(field: FieldDescriptor) -> Schema:
    if field.message_type:
        return reference(field.message_type)
    if field.enum_type:
        return {"$ref": f"#/components/schemas/{field.enum_type.full_name}"}
    return dict(_SCALARS[field.type])


def _plain(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines()).strip()
