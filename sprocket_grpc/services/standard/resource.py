"""The description of a resource: its rules, and the conversion between rows and messages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from sprocket_grpc.errors import Violation
from sprocket_grpc.query.values import Kind
from sprocket_grpc.services.standard.requests import Serializable
from sprocket_grpc.services.standard.validation import Rule, violations
from sprocket_grpc.storage.listing import OWN_FIELDS, UPDATE_TIME

_MICROS_PER_SECOND = 1_000_000
_NANOS_PER_MICRO = 1_000


_KINDS = {
    FieldDescriptor.TYPE_STRING: Kind.TEXT,
    FieldDescriptor.TYPE_INT32: Kind.INTEGER,
    FieldDescriptor.TYPE_INT64: Kind.INTEGER,
    FieldDescriptor.TYPE_DOUBLE: Kind.NUMBER,
    FieldDescriptor.TYPE_MESSAGE: Kind.TIME,
}


class ResourceMessage(Protocol):
    """The common fields of all resources."""

    DESCRIPTOR: Descriptor
    id: str
    etag: str

    @property
    def create_time(self) -> Timestamp:
        """When it was created."""

    @property
    def update_time(self) -> Timestamp:
        """When a caller last changed it."""


COMMON_FIELDS = ("id", "create_time", "update_time", "etag")

M = TypeVar("M", bound=ResourceMessage)


class Resource(Generic[M]):
    """Describes a resource.

    Attributes:
        name: The field that holds it in requests, such as `sprocket_type`.
        message: Its message.
        rules: The rules of its writable fields. A field without a rule is output only.
        descriptor: The descriptor of its message.
        own_fields: Its fields beside the common ones, in their order.
        kinds: The fields that lists can be filtered and ordered by.
    """

    def __init__(self, name: str, message: type[M], rules: Mapping[str, Rule]) -> None:
        self.name = name
        self.message = message
        self.rules = rules
        self.descriptor = message.DESCRIPTOR
        self.kinds = {field.name: _kind(field) for field in self.descriptor.fields if field.name != "etag"}
        self.own_fields = [field.name for field in self.descriptor.fields if field.name not in COMMON_FIELDS]

    def of(self, message: Serializable) -> M:
        """Return the resource in a request or response, whose field has the name of the resource."""
        resource: M = getattr(message, self.name)
        return resource

    def assign(self, message: M, row: Sequence[Any]) -> None:
        """Set all fields of a message from a row.

        Args:
            message: An empty message.
            row: Id, create and update time in microseconds, then the own fields in their order.
        """
        message.id, create_micros, update_micros, *own = row
        message.etag = self.etag(row)
        _assign_time(message.create_time, create_micros)
        _assign_time(message.update_time, update_micros)
        for name, value in zip(self.own_fields, own, strict=True):
            setattr(message, name, value)

    def etag(self, row: Sequence[Any]) -> str:
        """Return the etag of a row: the update time only grows, and counting sprockets does not change it."""
        return f'"{row[UPDATE_TIME]:x}"'

    def values(self, message: M, names: Iterable[str]) -> dict[str, Any]:
        """Return some fields of a message."""
        return {name: getattr(message, name) for name in names}

    def stored(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return the writable fields of a row."""
        own = zip(self.own_fields, row[OWN_FIELDS:], strict=True)
        return {name: value for name, value in own if name in self.rules}

    def violations(self, values: Mapping[str, Any]) -> list[Violation]:
        """Return the violations of fields of the resource."""
        return violations(f"{self.name}.", self.rules, values)


def _kind(field: FieldDescriptor) -> Kind:
    if field.name == "id" or field.name.endswith("_id"):
        return Kind.IDENTIFIER
    return _KINDS[field.type]


def _assign_time(time: Timestamp, micros: int) -> None:
    time.seconds, fraction = divmod(micros, _MICROS_PER_SECOND)
    time.nanos = fraction * _NANOS_PER_MICRO
