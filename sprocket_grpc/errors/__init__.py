"""The errors of the service, independent of gRPC, SQL and protobuf.

A `SprocketError` is returned to the caller. An `ExpectedError` is printed to the user of a command.
"""

from sprocket_grpc.errors.base import (
    ExpectedError,
    SprocketError,
    Violation,
)
from sprocket_grpc.errors.requests import (
    MOST_NAMED,
    AbortedError,
    EtagMismatchError,
    InvalidArgumentError,
    InvalidPageTokenError,
    InvalidResumeTokenError,
    MalformedRequestError,
    NotFoundError,
    ReferenceNotFoundError,
    RequestIdReusedError,
    ResourceInUseError,
    resource_type,
)
from sprocket_grpc.errors.server import (
    ArrivalTimeoutError,
    CallTimeoutError,
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    PermissionDeniedError,
    PrincipalLimitError,
    RateLimitedError,
    RequestTooLargeError,
    SendTimeoutError,
    ShuttingDownError,
    StrangerLimitError,
    UnauthenticatedError,
    UnavailableError,
    UnknownServiceError,
)

__all__ = [
    "MOST_NAMED",
    "AbortedError",
    "ArrivalTimeoutError",
    "CallTimeoutError",
    "DeadlineExceededError",
    "EtagMismatchError",
    "ExpectedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidPageTokenError",
    "InvalidResumeTokenError",
    "MalformedRequestError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "PrincipalLimitError",
    "RateLimitedError",
    "ReferenceNotFoundError",
    "RequestIdReusedError",
    "RequestTooLargeError",
    "ResourceInUseError",
    "SendTimeoutError",
    "ShuttingDownError",
    "SprocketError",
    "StrangerLimitError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownServiceError",
    "Violation",
    "resource_type",
]
