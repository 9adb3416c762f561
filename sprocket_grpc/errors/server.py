"""Errors of the caller, the server or the database, independent of the request."""

from sprocket_grpc.errors.base import SprocketError


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


class ForeignPageError(SprocketError):
    """A web page of a host or an origin that is not listed calls, so that it could use the server of its reader."""

    reason = "ERROR_REASON_FOREIGN_PAGE"

    def __init__(self, header: str, setting: str) -> None:
        super().__init__(
            f"{header}: this server does not accept this one; {setting} lists those that it does",
            {"header": header, "setting": setting},
        )


class UnavailableError(SprocketError):
    """The database cannot be reached, is overloaded, or does not have the schema of this version."""

    reason = "ERROR_REASON_DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database is unavailable; try again later")


class DatabaseMisconfiguredError(UnavailableError):
    """The database refuses the role of the server, or a statement of it, until an operator changes its configuration.

    Attributes:
        problem: What PostgreSQL says, for the log and operators only.
    """

    reason = "ERROR_REASON_DATABASE_MISCONFIGURED"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        SprocketError.__init__(
            self, "the database is not configured for this service; its operators have to correct it"
        )


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


class ExpensiveCallLimitError(SprocketError):
    """The turn of the caller did not come in time: others, or other calls of it, use the lane of expensive calls."""

    reason = "ERROR_REASON_EXPENSIVE_CALL_LIMIT"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the server has reached its limit of {limit} expensive calls; try again later", {"limit": str(limit)}
        )


class StrangerLimitError(SprocketError):
    """Too many calls from the address of the caller failed authentication. The text does not say which address."""

    reason = "ERROR_REASON_STRANGER_LIMIT"

    def __init__(self) -> None:
        super().__init__("too many calls of your network address have no valid credentials; try again later")


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


class UnknownServiceError(SprocketError):
    """The health of a service is asked for that this server does not have."""

    reason = "ERROR_REASON_UNKNOWN_SERVICE"

    def __init__(self) -> None:
        super().__init__("this server has no such service")


class CallTimeoutError(SprocketError):
    """The call took longer than the server allows."""

    reason = "ERROR_REASON_CALL_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the call took longer than the limit of {seconds:g} s", {"seconds": f"{seconds:g}"})


class DamagedChartError(SprocketError):
    """A part of a chart is not what was stored. The log of the server has where."""

    reason = "ERROR_REASON_CHART_DAMAGED"

    def __init__(self, factory_id: str, request_id: str) -> None:
        super().__init__(
            f"a part of the chart of factory {factory_id} is damaged; the server log has the details under the request "
            f"id {request_id}",
            {"factory_id": factory_id, "request_id": request_id},
        )


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
