"""Errors of a request, and of the resources that it names."""

from collections.abc import Sequence

from sprocket_grpc.errors.base import SprocketError, Violation


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


class OutOfReachError(SprocketError):
    """The caller is limited to some factories, and the request reaches others; whether they exist is not told."""

    reason = "ERROR_REASON_PERMISSION_DENIED"

    def __init__(self, resource: str, *identifiers: str) -> None:
        named = identifiers[:MOST_NAMED]
        which = f"{resource.replace('_', ' ')} {_join_first(identifiers)}".strip()
        super().__init__(
            f"the caller is limited to some factories, and may not access the {which}",
            {"right": "sprocket.factories"} | ({"values": ",".join(named)} if named else {}),
        )


class MalformedRequestError(SprocketError):
    """The request cannot be parsed as the request message of its method."""

    reason = "ERROR_REASON_MALFORMED_REQUEST"

    def __init__(self, method: str, problem: str = "") -> None:
        text = f"{method}: the request is not a valid request message of this method"
        super().__init__(
            f"{text}: {problem}" if problem else text, {"method": method} | ({"values": problem} if problem else {})
        )


class UnsupportedRequestError(SprocketError):
    """A part of a request by HTTP is none that the server supports: its path, method, content type or encoding."""

    reason = "ERROR_REASON_UNSUPPORTED_REQUEST"

    def __init__(self, part: str, expected: str) -> None:
        super().__init__(f"{part}: expected {expected}", {"part": part, "expected": expected})


class NotFoundError(SprocketError):
    """Resources that the call names do not exist."""

    reason = "ERROR_REASON_RESOURCE_NOT_FOUND"

    def __init__(self, resource: str, *identifiers: str) -> None:
        self.identifiers = identifiers[:MOST_NAMED]
        metadata = {"resource_type": resource_type(resource), "id": ",".join(self.identifiers)}
        which = "the id" if len(identifiers) == 1 else "any of the ids"
        super().__init__(f"no {resource.replace('_', ' ')} has {which} {_join_first(identifiers)}", metadata)


class ExpiredChartError(SprocketError):
    """The next entries of charts have expired, and the caller has not received them."""

    reason = "ERROR_REASON_CHART_EXPIRED"

    def __init__(self, *identifiers: str) -> None:
        charts = "the chart of factory" if len(identifiers) == 1 else "the charts of factories"
        advice = "call again without a resume_token to get the entries that are kept"
        super().__init__(
            f"entries of {charts} {_join_first(identifiers)} have expired before they were sent; {advice}",
            {"factory_ids": ",".join(identifiers[:MOST_NAMED])},
        )


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
