"""Checks the errors that a client gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import google.rpc.error_details_pb2 as details
import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

_D = TypeVar("_D", bound=Message)


class Failure:
    """An error as a client receives it; its attributes are set after the block of `fails`.

    Attributes:
        code: The status code.
        message: The message of the status.
        status: The google.rpc.Status in the trailers.
    """

    code: grpc.StatusCode
    message: str
    status: Status

    def detail(self, kind: type[_D]) -> _D:
        """Return the only detail of a type."""
        message = kind()
        found = [each for each in self.status.details if each.Unpack(message)]
        assert len(found) == 1, f"{len(found)} details of type {kind.__name__} in {self.status}"
        return message

    @property
    def info(self) -> details.ErrorInfo:
        """The ErrorInfo."""
        return self.detail(details.ErrorInfo)

    @property
    def fields(self) -> list[str]:
        """The paths of the invalid fields."""
        return [each.field for each in self.detail(details.BadRequest).field_violations]


@contextmanager
def fails(code: grpc.StatusCode) -> Iterator[Failure]:
    """Expect the block to fail with a code, and with a google.rpc.Status that agrees with it."""
    failure = Failure()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield failure
    error = raised.value
    failure.code, failure.message = error.code(), error.details() or ""
    assert failure.code is code, error
    trailers = dict(error.trailing_metadata() or ())
    failure.status = Status.FromString(bytes(trailers["grpc-status-details-bin"]))
    assert failure.status.code == code.value[0]
    assert failure.status.message == failure.message
