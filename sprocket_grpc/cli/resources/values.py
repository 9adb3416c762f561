"""Converts values of fields between text, JSON and messages."""

import difflib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from sprocket_grpc.cli.resources.catalogue import Resource

_EXPECTED = {
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "a whole number of up to 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of up to 64 bits",
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number of up to 32 bits, not negative",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number of up to 64 bits, not negative",
}
_TIMESTAMP = "google.protobuf.Timestamp"


class Problem(NamedTuple):
    """A violation found before a request is sent.

    Attributes:
        field: The name of the field, or empty if the whole line is wrong.
        text: What is wrong.
    """

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


def expected(field: FieldDescriptor) -> str:
    """Return a description of the values that a field accepts."""
    if field.is_repeated or field.message_type:
        is_time = field.message_type and field.message_type.full_name == _TIMESTAMP and not field.is_repeated
        return "a time as in RFC 3339" if is_time else "JSON"
    if field.enum_type:
        return f"one of {', '.join(field.enum_type.values_by_name)}"
    return _EXPECTED[field.cpp_type]


def from_text(resource: Resource, field: FieldDescriptor, text: str) -> object:
    """Return the JSON value for the text of an option.

    Raises:
        ValueError: The field does not accept the text; the error says what is expected.
    """
    value = unchecked(field, text)
    if problems := fill(resource.message(), {field.name: value}):
        raise ValueError(problems[0].text)
    return value


def unchecked(field: FieldDescriptor, text: str) -> object:
    """Return the JSON value for a text. The JSON mapping accepts numbers as text, and `fill` checks them.

    Raises:
        ValueError: The field expects JSON, and the text is not valid JSON.
    """
    if expected(field) not in ("true or false", "JSON"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{field.name}: expected {expected(field)}, not {_shortened(text)}") from error


def fill(message: Message, values: dict[str, Any]) -> list[Problem]:
    """Set fields from values in the JSON mapping of protobuf, and return the violations."""
    try:
        ParseDict(values, message)
    except (ParseError, ValueError, TypeError):
        message.Clear()
        return _fill_one_by_one(message, values)
    return []


def _fill_one_by_one(message: Message, values: dict[str, Any]) -> list[Problem]:
    """Set fields one by one, which takes ten times as long, and finds every violation."""
    problems = []
    descriptor: Any = message.DESCRIPTOR  # typed as a union of two equivalent classes
    fields = {name: each for each in descriptor.fields for name in (each.name, each.json_name)}
    for name, value in values.items():
        field = fields.get(name)
        if field is None:
            problems.append(Problem(name, _no_such_field(name, descriptor)))
        elif not _parses(message, field, value):
            problems.append(Problem(field.name, f"expected {expected(field)}, not {_shortened(value)}"))
    return problems


def as_json(message: Message) -> dict[str, Any]:
    """Return all fields of a message in the JSON mapping of protobuf, with the field names of the contract."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def as_text(value: object) -> str:
    """Return a JSON value as a text that `from_text` accepts."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def columns_of(resource: Resource, names: Iterable[str]) -> list[FieldDescriptor]:
    """Return the fields that have these names.

    Raises:
        ValueError: A name is unknown; the error lists the known ones.
    """
    fields = {each.name: each for each in resource.descriptor.fields}  # fields_by_name cuts names off at NUL
    for name in names:
        if name not in fields:
            raise ValueError(f"{name}: {_no_such_field(name, resource.descriptor)}; the fields are {', '.join(fields)}")
    return [fields[name] for name in names]


def _parses(message: Message, field: FieldDescriptor, value: object) -> bool:
    try:
        ParseDict({field.name: value}, message)
    except (ParseError, ValueError, TypeError, UnicodeError):  # UnicodeError for a lone surrogate
        return False
    return True


def _no_such_field(name: str, descriptor: Descriptor) -> str:
    similar = difflib.get_close_matches(name, descriptor.fields_by_name, n=1)
    return "there is no such field" + (f"; did you mean {similar[0]}?" if similar else "")


def _shortened(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 50 else f"{text[:49]}…"
