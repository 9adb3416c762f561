"""What the requests and responses of the standard methods have in common."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask

if TYPE_CHECKING:
    from google.protobuf.message import Message

_M_co = TypeVar("_M_co", covariant=True)


class Described(Protocol):
    """What describes every message."""

    DESCRIPTOR: Descriptor


class Serializable(Described, Protocol):
    """The methods of every message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802  # protobuf's name
        """Serialise."""

    def MergeFromString(self, serialized: bytes) -> int:  # noqa: N802  # protobuf's name
        """Fill from what was serialised."""


class Items(Protocol[_M_co]):
    """A repeated field of messages."""

    def add(self) -> _M_co:
        """Append an empty message."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[_M_co]: ...

    def __delitem__(self, key: slice) -> None: ...


class ItemsResponse(Described, Protocol):
    """The responses with many items, which are their field 1."""

    def ByteSize(self) -> int:  # noqa: N802  # protobuf's name
        """Return the size of the message on the wire."""


class GetRequest(Serializable, Protocol):
    """The requests of all Get methods."""

    id: str


class BatchGetRequest(Serializable, Protocol):
    """The requests of all BatchGet methods."""

    @property
    def ids(self) -> Sequence[str]:
        """Which resources to get."""


class BatchCreateResponse(Serializable, ItemsResponse, Protocol):
    """The responses of all BatchCreate methods."""


class ListRequest(Serializable, Protocol):
    """The requests of all List methods."""

    page_size: int
    page_token: str
    filter: str
    order_by: str
    show_total_size: bool


class ListResponse(ItemsResponse, Protocol):
    """The responses of all List methods."""

    next_page_token: str
    total_size: int


class WriteRequest(Serializable, Protocol):
    """The requests of all methods that change something."""

    request_id: str
    validate_only: bool


class UpdateRequest(WriteRequest, Protocol):
    """The requests of all Update methods."""

    allow_missing: bool

    @property
    def update_mask(self) -> FieldMask:
        """Which fields to update."""


class DeleteRequest(WriteRequest, Protocol):
    """The requests of all Delete methods."""

    id: str
    etag: str
    allow_missing: bool


def field_of_items(message: Described) -> str:
    """Return the name of the field that has the items of a request or response."""
    return message.DESCRIPTOR.fields_by_number[1].name


def items_of(message: Described) -> Items[Any]:
    """Return the items of a request or response."""
    items: Items[Any] = getattr(message, field_of_items(message))
    return items


def digest(request: Serializable, free_fields: Collection[str]) -> bytes:
    """Return the SHA-256 of the name of a request's message and of all its fields but those that may differ."""
    rest = cast("Message", type(request)())
    rest.CopyFrom(cast("Message", request))
    for field in free_fields:
        rest.ClearField(field)
    content = request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)
    return hashlib.sha256(content).digest()
