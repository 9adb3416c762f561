"""The caller of the current call, available to all code that runs for it. Imports no other module of the package."""

import json
from contextvars import ContextVar
from dataclasses import asdict, dataclass

ANONYMOUS = "anonymous"
"""The principal of all callers while authentication is off."""


@dataclass(frozen=True)
class Caller:
    """The caller of a call.

    Attributes:
        principal: The name of the caller, such as `api-key:dashboards`.
        request_id: The id of the call in logs, traces, errors and the audit log.
        method: The method, such as `/sprocket.v1.FactoryService/CreateFactory`.
    """

    principal: str = ANONYMOUS
    request_id: str = ""
    method: str = ""

    def to_json(self) -> str:
        """Return the attributes as a JSON object, which the audit log reads."""
        return json.dumps(asdict(self))


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  # it cannot be changed


def current_caller() -> Caller:
    """Return the caller of the current call."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Set the caller of the current call; other calls are not affected."""
    _CALLER.set(caller)
