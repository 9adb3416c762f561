"""What can go wrong, in words of the domain: nothing here knows of gRPC, SQL or messages.

Callers are told a `SprocketError`, and the person who runs a command an `ExpectedError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: The path of the field from the request on, such as `location.display_name`.
        description: What is wrong with it, or what was expected.
        variable: What the description says of the request, such as an id, so that programs find it in the metadata.
    """

    field: str
    description: str
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


def _some(things: Sequence[object], separator: str = ", ") -> str:
    """Name some things, and say how many more there are."""
    named = [str(thing) for thing in things[:_MOST_IN_TEXT]]
    return separator.join(named + (["and more"] if len(things) > len(named) else []))


def _metadata(violations: Sequence[Violation]) -> dict[str, str]:
    fields = dict.fromkeys(violation.field for violation in violations)
    values = [violation.variable for violation in violations if violation.variable]
    return {"fields": ",".join(fields)} | ({"values": ",".join(values)} if values else {})


def resource_type(resource: str) -> str:
    """Return the name by which clients know a kind of resource: `sprocket_type` is `sprocket.v1.SprocketType`."""
    return "sprocket.v1." + resource.title().replace("_", "")


MOST_NAMED = 20
"""How many of the things that are wrong the details of an error name: they have to fit into 8 kB."""

_MOST_IN_TEXT = 5
"""How many of them the text names, which travels twice."""


class SprocketError(Exception):
    """Anything that a caller is told about.

    Attributes:
        reason: The name of a value of `sprocket.v1.ErrorReason`.
        metadata: Every variable part of the text, for programs (AIP-193).
    """

    reason: ClassVar[str]

    def __init__(self, message: str, metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata or {}


class _ViolationsError(SprocketError):
    """Carries all that is wrong with a request, so that it can be mended in one go."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = violations[:MOST_NAMED]
        super().__init__(_some(violations, "; "), _metadata(self.violations))


class InvalidArgumentError(_ViolationsError):
    """Fields of the request are wrong, whatever is stored."""

    reason = "ERROR_REASON_INVALID_FIELD"


class InvalidPageTokenError(InvalidArgumentError):
    """The page token is not one that the same request was given."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"


class InvalidResumeTokenError(InvalidArgumentError):
    """The resume token is not one that a stream of the same charts was given."""

    reason = "ERROR_REASON_INVALID_RESUME_TOKEN"


class RequestIdReusedError(InvalidArgumentError):
    """The request_id was used for another request."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__([Violation("request_id", "was used for another request: take a new one for each")])


class UnauthenticatedError(SprocketError):
    """The call came without credentials that hold. The text says nothing about them, for it may be a stranger's."""

    reason = "ERROR_REASON_UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("the call has no valid credentials")


class PermissionDeniedError(SprocketError):
    """The caller does not have the right that the method needs."""

    reason = "ERROR_REASON_PERMISSION_DENIED"

    def __init__(self, right: str) -> None:
        super().__init__(f"the caller does not have the right {right}", {"right": right})


class MalformedRequestError(SprocketError):
    """The bytes of a request are not the message that its method takes."""

    reason = "ERROR_REASON_MALFORMED_REQUEST"

    def __init__(self, method: str) -> None:
        super().__init__(f"{method}: the request is not the message that this method takes", {"method": method})


class NotFoundError(SprocketError):
    """Resources that a call is about do not exist."""

    reason = "ERROR_REASON_RESOURCE_NOT_FOUND"

    def __init__(self, resource: str, *identifiers: str) -> None:
        self.identifiers = identifiers[:MOST_NAMED]
        metadata = {"resource_type": resource_type(resource), "id": ",".join(self.identifiers)}
        super().__init__(f"{resource}: there is none with id {_some(identifiers)}", metadata)


class ReferenceNotFoundError(_ViolationsError):
    """The request refers to resources that do not exist."""

    reason = "ERROR_REASON_REFERENCE_NOT_FOUND"


class ResourceInUseError(SprocketError):
    """The resource to be deleted is one that others refer to."""

    reason = "ERROR_REASON_RESOURCE_IN_USE"

    def __init__(self, resource: str, identifier: str, used_by: str) -> None:
        metadata = {"resource_type": resource_type(resource), "id": identifier, "used_by": resource_type(used_by)}
        super().__init__(f"{resource}: {identifier} is still used by at least one {used_by}", metadata)


class EtagMismatchError(SprocketError):
    """The resource is not in the state that the etag names."""

    reason = "ERROR_REASON_ETAG_MISMATCH"

    def __init__(self, resource: str, identifier: str) -> None:
        metadata = {"resource_type": resource_type(resource), "id": identifier}
        super().__init__(f"{resource}: {identifier} is not, or no longer, what the etag says", metadata)


class AbortedError(SprocketError):
    """The change got in the way of another one and was undone as a whole."""

    reason = "ERROR_REASON_CONFLICTING_CHANGE"

    def __init__(self) -> None:
        super().__init__("the change got in the way of another one and was undone; try again")


class UnavailableError(SprocketError):
    """The database cannot be reached, is too busy, or lacks what this version needs."""

    reason = "ERROR_REASON_DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database is not available; try again later")


class ShuttingDownError(SprocketError):
    """The server shuts down and has ended a stream."""

    reason = "ERROR_REASON_SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down; open the stream again with the last resume_token")


class RateLimitedError(SprocketError):
    """The caller makes more calls than it may.

    Attributes:
        principal: Who calls.
        retry_seconds: After how long the next call gets through.
    """

    reason = "ERROR_REASON_RATE_LIMITED"

    def __init__(self, principal: str, limit: str, retry_seconds: float) -> None:
        self.principal = principal
        self.retry_seconds = retry_seconds
        super().__init__(f"{principal} may make {limit} calls", {"principal": principal, "limit": limit})


class OverloadedError(SprocketError):
    """The server has as many calls in flight as it takes on."""

    reason = "ERROR_REASON_OVERLOADED"

    def __init__(self, limit: str) -> None:
        super().__init__(f"the server is busy with {limit}; try again later", {"limit": limit})


class CallTimeoutError(SprocketError):
    """The call took longer than the server works on any."""

    reason = "ERROR_REASON_CALL_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the call took longer than {seconds:g} s", {"seconds": f"{seconds:g}"})


class DeadlineExceededError(SprocketError):
    """The database stopped a statement that ran for too long."""

    reason = "ERROR_REASON_STATEMENT_TIMEOUT"

    def __init__(self) -> None:
        super().__init__("the database did not answer in time")


class InternalError(SprocketError):
    """Something in the service itself is wrong; its log says more under the request id."""

    reason = "ERROR_REASON_INTERNAL"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"an internal error, logged under the request id {request_id}", {"request_id": request_id})


class ExpectedError(Exception):
    """Ends a command with status 1, and its text says what to do."""
