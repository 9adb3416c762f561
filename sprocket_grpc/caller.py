"""The caller of the current call, available to all code that runs for it. Imports no other module of the package."""

import json
from contextvars import ContextVar
from dataclasses import dataclass

ANONYMOUS = "anonymous"
"""The principal of all callers while authentication is off."""

FORCE = "sprocket.force"
"""The permission for cascading deletes."""


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
        return json.dumps({"principal": self.principal, "request_id": self.request_id, "method": self.method})


@dataclass(frozen=True)
class Grant:
    """What a caller may do beyond the permission of its method; what the method does decides whether it matters.

    Attributes:
        may_force: Whether it has the permission FORCE.
        factories: The ids of the factories that it is limited to, or None if it is not limited.
    """

    may_force: bool = True
    factories: frozenset[str] | None = None


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  # it cannot be changed

_GRANT: ContextVar[Grant] = ContextVar("grant", default=Grant())  # noqa: B039  # it cannot be changed


def current_caller() -> Caller:
    """Return the caller of the current call."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Set the caller of the current call; other calls are not affected."""
    _CALLER.set(caller)


def current_grant() -> Grant:
    """Return what the caller of the current call may do; everything outside of a call."""
    return _GRANT.get()


def set_grant(grant: Grant) -> None:
    """Set what the caller of the current call may do; other calls are not affected."""
    _GRANT.set(grant)
