"""The error of a failed call, with the details that the server sends.

The details are messages of google.rpc, read by the numbers of their fields: their generated code is in
googleapis-common-protos, which a client need not install.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

_DETAILS_KEY = "grpc-status-details-bin"
_SAFE_TO_RETRY = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,  # by a proxy or a server that ends
}


class FieldViolation(NamedTuple):
    """What is wrong with a field of the request.

    Attributes:
        field: The path of the field, such as `location.country_code`.
        description: What is expected.
    """

    field: str
    description: str


class ServiceError(Exception):
    """A call that failed. Its `__cause__` is the error of gRPC.

    Attributes:
        code: The status code.
        message: What is wrong, for people.
        reason: What is wrong, for programs: a name of `ErrorReason`, such as ERROR_REASON_ETAG_MISMATCH. Empty if gRPC
            itself failed, for example because no server answers.
        metadata: More about the reason, such as the id of the resource.
        violations: The invalid fields, or the conditions that are not met.
        retry_after_seconds: How long the server asks to wait before a retry. None if it does not ask for a retry.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = ""
        self.metadata: Mapping[str, str] = {}
        self.violations: tuple[FieldViolation, ...] = ()
        self.retry_after_seconds: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> Self:
        """Return the error of a failed call."""
        failure = cls(error.code(), error.details() or "")
        failure.__cause__ = error
        for key, value in error.trailing_metadata() or ():
            if key == _DETAILS_KEY and isinstance(value, bytes):
                failure._read(value)
        return failure

    @property
    def is_safe_to_retry(self) -> bool:
        """Whether a retry with the same request_id may succeed and takes effect at most once."""
        return self.code in _SAFE_TO_RETRY or self.retry_after_seconds is not None

    def _read(self, status: bytes) -> None:
        for number, detail in _fields(status):
            if number == 3 and isinstance(detail, bytes):  # google.rpc.Status.details
                packed = dict(_fields(detail))  # google.protobuf.Any: 1 is type_url, 2 is value
                self._read_detail(_text(packed.get(1)).rpartition("/")[2], packed.get(2))

    def _read_detail(self, kind: str, value: Any) -> None:  # noqa: ANN401  # bytes, unless it is malformed
        fields = list(_fields(value))
        match kind:
            case "google.rpc.ErrorInfo":  # 1 is reason, 3 the entries of metadata
                self.reason = _text(dict(fields).get(1))
                entries = [dict(_fields(each)) for number, each in fields if number == 3 and isinstance(each, bytes)]
                self.metadata = {_text(each.get(1)): _text(each.get(2)) for each in entries}
            case "google.rpc.BadRequest":  # 1 is field_violations: 1 is field, 2 is description
                self.violations += tuple(_violations(fields, 1, 2))
            case "google.rpc.PreconditionFailure":  # 1 is violations: 2 is subject, 3 is description
                self.violations += tuple(_violations(fields, 2, 3))
            case "google.rpc.RetryInfo":  # 1 is retry_delay: 1 is seconds, 2 is nanos
                delay = dict(_fields(dict(fields).get(1)))
                self.retry_after_seconds = _number(delay.get(1)) + _number(delay.get(2)) / 1e9


def _violations(fields: list[tuple[int, Any]], path: int, description: int) -> Iterator[FieldViolation]:
    for number, each in fields:
        if number == 1 and isinstance(each, bytes):
            violation = dict(_fields(each))
            yield FieldViolation(_text(violation.get(path)), _text(violation.get(description)))


def _fields(message: Any) -> Iterator[tuple[int, Any]]:  # noqa: ANN401  # as above
    """Yield the number and the value of each field of a message; nothing if it is no message."""
    try:
        unknown = UnknownFieldSet(Empty.FromString(message or b""))
    except (DecodeError, TypeError):  # a proxy may send anything
        return
    for index in range(len(unknown)):
        yield unknown[index].field_number, unknown[index].data


def _text(value: Any) -> str:  # noqa: ANN401  # as above
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _number(value: Any) -> int:  # noqa: ANN401  # as above
    return value if isinstance(value, int) else 0
