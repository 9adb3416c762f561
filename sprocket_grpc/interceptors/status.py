"""The status and the details of each error: one table (AIP-193)."""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import google.rpc.error_details_pb2 as details
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from sprocket_grpc import errors

DOMAIN = "sprocket.internal"
"""The domain of the reasons in ErrorInfo."""


class Code(IntEnum):
    """The codes of statuses (google.rpc.Code), which every protocol has in its own form."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


SERVER_ERRORS = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""The statuses that are errors of the server (OpenTelemetry's semantic conventions for gRPC)."""

_RETRY_DELAY = Duration(seconds=1)


def _bad_request(error: errors.InvalidArgumentError) -> list[Message]:
    violations = [(each.field, each.description) for each in error.violations]
    return [
        details.BadRequest(
            field_violations=[details.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        )
    ]


def _missing_references(error: errors.ReferenceNotFoundError) -> list[Message]:
    return [
        details.PreconditionFailure(
            violations=[
                details.PreconditionFailure.Violation(
                    type=error.reason, subject=each.field, description=each.description
                )
                for each in error.violations
            ]
        )
    ]


def _in_use(error: errors.ResourceInUseError) -> list[Message]:
    violation = details.PreconditionFailure.Violation(
        type=error.reason, subject=error.metadata["id"], description=str(error)
    )
    return [details.PreconditionFailure(violations=[violation])]


def _resource_infos(error: errors.NotFoundError) -> list[Message]:
    kind = error.metadata["resource_type"]
    return [details.ResourceInfo(resource_type=kind, resource_name=each) for each in error.identifiers]


def _retry_info(_: errors.SprocketError) -> list[Message]:
    return [details.RetryInfo(retry_delay=_RETRY_DELAY)]


def _quota_failure(error: errors.RateLimitedError) -> list[Message]:
    violation = details.QuotaFailure.Violation(subject=error.principal, description=str(error))
    delay = Duration()
    delay.FromMilliseconds(math.ceil(error.retry_seconds * 1000))
    return [details.QuotaFailure(violations=[violation]), details.RetryInfo(retry_delay=delay)]


def _no_details(_: errors.SprocketError) -> list[Message]:
    return []


_TABLE: dict[type[errors.SprocketError], tuple[Code, Callable[[Any], list[Message]]]] = {
    errors.InvalidArgumentError: (Code.INVALID_ARGUMENT, _bad_request),
    errors.InvalidPageTokenError: (Code.INVALID_ARGUMENT, _bad_request),
    errors.InvalidResumeTokenError: (Code.INVALID_ARGUMENT, _bad_request),
    errors.RequestIdReusedError: (Code.INVALID_ARGUMENT, _bad_request),
    errors.UnauthenticatedError: (Code.UNAUTHENTICATED, _no_details),
    errors.PermissionDeniedError: (Code.PERMISSION_DENIED, _no_details),
    errors.OutOfReachError: (Code.PERMISSION_DENIED, _no_details),
    errors.ForeignPageError: (Code.PERMISSION_DENIED, _no_details),
    errors.MalformedRequestError: (Code.INVALID_ARGUMENT, _no_details),
    errors.UnsupportedRequestError: (Code.UNIMPLEMENTED, _no_details),
    errors.NotFoundError: (Code.NOT_FOUND, _resource_infos),
    errors.ExpiredChartError: (Code.OUT_OF_RANGE, _no_details),
    errors.ReferenceNotFoundError: (Code.FAILED_PRECONDITION, _missing_references),
    errors.ResourceInUseError: (Code.FAILED_PRECONDITION, _in_use),
    errors.EtagMismatchError: (Code.ABORTED, _no_details),
    errors.AbortedError: (Code.ABORTED, _retry_info),
    errors.UnavailableError: (Code.UNAVAILABLE, _retry_info),
    errors.DatabaseMisconfiguredError: (Code.UNAVAILABLE, _retry_info),
    errors.ShuttingDownError: (Code.UNAVAILABLE, _retry_info),
    errors.RateLimitedError: (Code.RESOURCE_EXHAUSTED, _quota_failure),
    errors.OverloadedError: (Code.RESOURCE_EXHAUSTED, _retry_info),
    errors.ExpensiveCallLimitError: (Code.RESOURCE_EXHAUSTED, _retry_info),
    errors.PrincipalLimitError: (Code.RESOURCE_EXHAUSTED, _quota_failure),
    errors.StrangerLimitError: (Code.RESOURCE_EXHAUSTED, _retry_info),
    errors.RequestTooLargeError: (Code.RESOURCE_EXHAUSTED, _no_details),
    errors.ArrivalTimeoutError: (Code.DEADLINE_EXCEEDED, _no_details),
    errors.CallTimeoutError: (Code.DEADLINE_EXCEEDED, _no_details),
    errors.UnknownServiceError: (Code.NOT_FOUND, _no_details),
    errors.DeadlineExceededError: (Code.DEADLINE_EXCEEDED, _no_details),
    errors.DamagedChartError: (Code.DATA_LOSS, _no_details),
    errors.InternalError: (Code.INTERNAL, _no_details),
}


_KEPT_ERRORS = (
    errors.OverloadedError,
    errors.PrincipalLimitError,
    errors.ShuttingDownError,
    errors.StrangerLimitError,
    errors.UnauthenticatedError,
)
"""The errors of floods, whose details depend on their text alone."""

_MOST_KEPT = 1000

_kept: dict[tuple[type[errors.SprocketError], str], bytes] = {}


def to_status(error: errors.SprocketError, request_id: str) -> Status:
    """Return the status of an error.

    Args:
        error: The error.
        request_id: The request id of the call, as in the log.
    """
    status = _status_of_flood(error) if isinstance(error, _KEPT_ERRORS) else _describe(error)
    status.details.add().Pack(details.RequestInfo(request_id=request_id))
    return status


def _status_of_flood(error: errors.SprocketError) -> Status:
    """Return a status whose details are made once: those who are refused most should cost least."""
    key = type(error), str(error)
    if key not in _kept:
        if len(_kept) >= _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _describe(error).SerializeToString()
    return Status.FromString(_kept[key])


def _describe(error: errors.SprocketError) -> Status:
    code, describe = _TABLE[type(error)]
    info = details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status = Status(code=code, message=str(error))
    for message in [info, *describe(error)]:
        status.details.add().Pack(message)
    return status
