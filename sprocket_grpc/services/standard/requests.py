"""What the requests and responses of the standard methods have in common, whatever the resource."""

from typing import Protocol, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask

_M_co = TypeVar("_M_co", covariant=True)


class Serializable(Protocol):
    """What every message has."""

    DESCRIPTOR: Descriptor

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802  # protobuf's name
        """Serialise."""

    def MergeFromString(self, serialized: bytes) -> int:  # noqa: N802  # protobuf's name
        """Fill from what was serialised."""


class Items(Protocol[_M_co]):
    """A repeated field of messages."""

    def add(self) -> _M_co:
        """Append an empty message."""


class ListRequest(Serializable, Protocol):
    """The requests of all List methods."""

    page_size: int
    page_token: str
    filter: str
    order_by: str
    show_total_size: bool


class ListResponse(Protocol):
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
