"""The errors of the service, independent of gRPC, SQL and protobuf.

A `SprocketError` is returned to the caller. An `ExpectedError` is printed to the user of a command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """A violation in a request.

    Attributes:
        field: The path of the field in the request, such as `location.display_name`.
        description: What is wrong with the field, and what is accepted.
        variable: A value in the description that is from the request, such as an id. Programs find it in the metadata.
    """

    field: str
    description: str
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


def _join_first(items: Sequence[object], separator: str = ", ") -> str:
    """Return the first items as text, with "and more" if there are others."""
    first = [str(item) for item in items[:_MOST_IN_TEXT]]
    return separator.join(first + (["and more"] if len(items) > len(first) else []))


def _metadata(violations: Sequence[Violation]) -> dict[str, str]:
    fields = dict.fromkeys(violation.field for violation in violations)
    values = [violation.variable for violation in violations if violation.variable]
    return {"fields": ",".join(fields)} | ({"values": ",".join(values)} if values else {})


def resource_type(resource: str) -> str:
    """Return the type of a resource in the contract: `sprocket.v1.SprocketType` for `sprocket_type`."""
    return "sprocket.v1." + resource.title().replace("_", "")


MOST_NAMED = 20
"""The largest number of violations or ids in the details of an error, which must fit into 8 kB."""

_MOST_IN_TEXT = 5
"""The largest number of violations or ids in the text of an error, which is sent twice."""


class SprocketError(Exception):
    """An error that is returned to the caller.

    Attributes:
        reason: The name of a value of `sprocket.v1.ErrorReason`.
        metadata: Every variable part of the text, for programs (AIP-193).
    """

    reason: ClassVar[str]

    def __init__(self, message: str, metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata or {}


class _ViolationsError(SprocketError):
    """Lists all violations of a request, so that the caller can correct them at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = violations[:MOST_NAMED]
        super().__init__(_join_first(violations, "; "), _metadata(self.violations))


class InvalidArgumentError(_ViolationsError):
    """Fields of the request are invalid, independent of the stored resources."""

    reason = "ERROR_REASON_INVALID_FIELD"


class InvalidPageTokenError(InvalidArgumentError):
    """The page token was not returned for the same request."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"


class InvalidResumeTokenError(InvalidArgumentError):
    """The resume token was not returned by a stream of the same charts."""

    reason = "ERROR_REASON_INVALID_RESUME_TOKEN"


class RequestIdReusedError(InvalidArgumentError):
    """The request_id has been used for a different request."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__(
            [Violation("request_id", "has been used for a different request; use a new UUID for every request")]
        )


class UnauthenticatedError(SprocketError):
    """The call has no valid credentials. The text does not say why, because it would help an attacker."""

    reason = "ERROR_REASON_UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("the call has no valid credentials; send an API key, a token or a client certificate")


class PermissionDeniedError(SprocketError):
    """The caller lacks the permission that the method requires."""

    reason = "ERROR_REASON_PERMISSION_DENIED"

    def __init__(self, permission: str) -> None:
        super().__init__(f"the caller lacks the permission {permission}", {"right": permission})


class MalformedRequestError(SprocketError):
    """The request cannot be parsed as the request message of its method."""

    reason = "ERROR_REASON_MALFORMED_REQUEST"

    def __init__(self, method: str) -> None:
        super().__init__(f"{method}: the request is not a valid request message of this method", {"method": method})


class NotFoundError(SprocketError):
    """Resources that the call names do not exist."""

    reason = "ERROR_REASON_RESOURCE_NOT_FOUND"

    def __init__(self, resource: str, *identifiers: str) -> None:
        self.identifiers = identifiers[:MOST_NAMED]
        metadata = {"resource_type": resource_type(resource), "id": ",".join(self.identifiers)}
        which = "the id" if len(identifiers) == 1 else "any of the ids"
        super().__init__(f"no {resource.replace('_', ' ')} has {which} {_join_first(identifiers)}", metadata)


class ReferenceNotFoundError(_ViolationsError):
    """The request refers to resources that do not exist."""

    reason = "ERROR_REASON_REFERENCE_NOT_FOUND"


class ResourceInUseError(SprocketError):
    """The resource cannot be deleted, because other resources refer to it."""

    reason = "ERROR_REASON_RESOURCE_IN_USE"

    def __init__(self, resource: str, identifier: str, used_by: str) -> None:
        metadata = {"resource_type": resource_type(resource), "id": identifier, "used_by": resource_type(used_by)}
        super().__init__(f"{resource}: {identifier} is still used by at least one {used_by}", metadata)


class EtagMismatchError(SprocketError):
    """The etag of the request is not the current etag of the resource."""

    reason = "ERROR_REASON_ETAG_MISMATCH"

    def __init__(self, resource: str, identifier: str) -> None:
        metadata = {"resource_type": resource_type(resource), "id": identifier}
        advice = "get the resource, check what has changed, and try again"
        super().__init__(f"{resource}: the etag is not the current one of {identifier}; {advice}", metadata)


class AbortedError(SprocketError):
    """The change conflicted with a concurrent change and was rolled back."""

    reason = "ERROR_REASON_CONFLICTING_CHANGE"

    def __init__(self) -> None:
        super().__init__("the change conflicted with a concurrent change and was rolled back; try again")


class UnavailableError(SprocketError):
    """The database cannot be reached, is overloaded, or does not have the schema of this version."""

    reason = "ERROR_REASON_DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database is unavailable; try again later")


class ShuttingDownError(SprocketError):
    """The server is shutting down: it ends streams, and accepts no more calls."""

    reason = "ERROR_REASON_SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down; try again, and resume a chart with the last resume_token")


class RateLimitedError(SprocketError):
    """The caller exceeds its rate limit.

    Attributes:
        principal: The caller.
        retry_seconds: The seconds until the next call is accepted.
    """

    reason = "ERROR_REASON_RATE_LIMITED"

    def __init__(self, principal: str, limit: str, retry_seconds: float) -> None:
        self.principal = principal
        self.retry_seconds = retry_seconds
        super().__init__(f"{principal} exceeds the rate limit of {limit}", {"principal": principal, "limit": limit})


class OverloadedError(SprocketError):
    """The server has reached its limit of concurrent calls or streams."""

    reason = "ERROR_REASON_OVERLOADED"

    def __init__(self, limit: str) -> None:
        super().__init__(f"the server has reached its limit of {limit}; try again later", {"limit": limit})


class PrincipalLimitError(SprocketError):
    """The caller has reached its share of the server, so that others are not affected.

    Attributes:
        principal: The caller.
        retry_seconds: The seconds after which a try makes sense.
    """

    reason = "ERROR_REASON_PRINCIPAL_LIMIT"
    retry_seconds = 1

    def __init__(self, principal: str, limit: str) -> None:
        self.principal = principal
        super().__init__(f"{principal} has reached its limit of {limit}", {"principal": principal, "limit": limit})


class StrangerLimitError(SprocketError):
    """Too many calls from the address of the caller failed authentication."""

    reason = "ERROR_REASON_STRANGER_LIMIT"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"too many calls from {address} have failed authentication; try again later", {"address": address}
        )


class RequestTooLargeError(SprocketError):
    """The request is larger than any valid request of its method."""

    reason = "ERROR_REASON_REQUEST_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the request has {size} bytes; the limit of this method is {limit}",
            {"bytes": str(size), "limit": str(limit)},
        )


class ArrivalTimeoutError(SprocketError):
    """The request did not arrive whole in time."""

    reason = "ERROR_REASON_ARRIVAL_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request did not arrive whole within {seconds:g} s", {"seconds": f"{seconds:g}"})


class SendTimeoutError(SprocketError):
    """The client did not read a response of a stream in time."""

    reason = "ERROR_REASON_SEND_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the client did not read for {seconds:g} s", {"seconds": f"{seconds:g}"})


class UnknownServiceError(SprocketError):
    """The health of a service is asked for that this server does not have. The protocol has no details for it."""

    reason = "ERROR_REASON_RESOURCE_NOT_FOUND"

    def __init__(self, service: str) -> None:
        super().__init__("this server has no such service", {"resource_type": "service", "id": service[:100]})


class CallTimeoutError(SprocketError):
    """The call took longer than the server allows."""

    reason = "ERROR_REASON_CALL_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the call took longer than the limit of {seconds:g} s", {"seconds": f"{seconds:g}"})


class DeadlineExceededError(SprocketError):
    """The database cancelled a statement that exceeded the statement timeout."""

    reason = "ERROR_REASON_STATEMENT_TIMEOUT"

    def __init__(self) -> None:
        super().__init__("the database did not answer in time")


class InternalError(SprocketError):
    """An unexpected error of the service. Its log has the details under the request id."""

    reason = "ERROR_REASON_INTERNAL"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"internal error; the server log has the details under the request id {request_id}",
            {"request_id": request_id},
        )


class ExpectedError(Exception):
    """Ends a command with status 1. The text is printed and says what to do."""
