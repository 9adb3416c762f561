"""The status and the details of each error: one table (AIP-193)."""

import math
from collections.abc import Callable
from typing import Any

import google.rpc.error_details_pb2 as details
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from sprocket_grpc import errors

DOMAIN = "sprocket.internal"
"""The domain of the reasons in ErrorInfo."""

SERVER_ERRORS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
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


_TABLE: dict[type[errors.SprocketError], tuple[StatusCode, Callable[[Any], list[Message]]]] = {
    errors.InvalidArgumentError: (StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.InvalidPageTokenError: (StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.InvalidResumeTokenError: (StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.RequestIdReusedError: (StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.UnauthenticatedError: (StatusCode.UNAUTHENTICATED, _no_details),
    errors.PermissionDeniedError: (StatusCode.PERMISSION_DENIED, _no_details),
    errors.MalformedRequestError: (StatusCode.INVALID_ARGUMENT, _no_details),
    errors.NotFoundError: (StatusCode.NOT_FOUND, _resource_infos),
    errors.ReferenceNotFoundError: (StatusCode.FAILED_PRECONDITION, _missing_references),
    errors.ResourceInUseError: (StatusCode.FAILED_PRECONDITION, _in_use),
    errors.EtagMismatchError: (StatusCode.ABORTED, _no_details),
    errors.AbortedError: (StatusCode.ABORTED, _retry_info),
    errors.UnavailableError: (StatusCode.UNAVAILABLE, _retry_info),
    errors.ShuttingDownError: (StatusCode.UNAVAILABLE, _retry_info),
    errors.RateLimitedError: (StatusCode.RESOURCE_EXHAUSTED, _quota_failure),
    errors.OverloadedError: (StatusCode.RESOURCE_EXHAUSTED, _retry_info),
    errors.CallTimeoutError: (StatusCode.DEADLINE_EXCEEDED, _no_details),
    errors.DeadlineExceededError: (StatusCode.DEADLINE_EXCEEDED, _no_details),
    errors.InternalError: (StatusCode.INTERNAL, _no_details),
}


def to_status(error: errors.SprocketError, request_id: str) -> Status:
    """Return the status of an error.

    Args:
        error: The error.
        request_id: The request id of the call, as in the log.
    """
    code, describe = _TABLE[type(error)]
    info = details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status = Status(code=code.value[0], message=str(error))
    for message in [info, *describe(error), details.RequestInfo(request_id=request_id)]:
        status.details.add().Pack(message)
    return status
