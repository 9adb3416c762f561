"""Who makes the call that is being answered, for whatever is done in its name. Imports nothing of ours."""

import json
from contextvars import ContextVar
from dataclasses import asdict, dataclass

ANONYMOUS = "anonymous"
"""The name of callers while nobody has to say who they are."""


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        principal: Its name, such as `api-key:dashboards`.
        request_id: The id under which logs, traces, errors and the audit log speak of the call.
        method: What it calls, such as `/sprocket.v1.FactoryService/CreateFactory`.
    """

    principal: str = ANONYMOUS
    request_id: str = ""
    method: str = ""

    def to_json(self) -> str:
        """Return what the audit log reads: an object with these fields."""
        return json.dumps(asdict(self))


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  # it cannot be changed


def current_caller() -> Caller:
    """Return who makes the present call."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Say who makes the present call; other calls do not see it."""
    _CALLER.set(caller)
