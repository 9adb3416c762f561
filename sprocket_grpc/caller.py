"""Who makes the call that is being answered, for whatever is done in its name. Imports nothing of ours."""

from contextvars import ContextVar
from dataclasses import dataclass

ANONYMOUS = "anonymous"
"""The name of callers while nobody has to say who they are."""


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        principal: Its name, such as `api-key:dashboards`.
        request_id: The id under which logs, traces, errors and the audit log speak of the call.
    """

    principal: str = ANONYMOUS
    request_id: str = ""


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  # it cannot be changed


def current_caller() -> Caller:
    """Return who makes the present call."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Say who makes the present call; other calls do not see it."""
    _CALLER.set(caller)
