"""What callers may do, and what each method needs: the only place that decides it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

_ADMINISTRATION = frozenset({"sprocket.v1.AuditService"})
"""The services whose every method is for administrators."""


class Permission(StrEnum):
    """What a caller may do. Each includes those before it."""

    READ = "sprocket.read"
    WRITE = "sprocket.write"
    ADMIN = "sprocket.admin"


@dataclass(frozen=True)
class Identity:
    """A caller that is known.

    Attributes:
        principal: Its name, such as `api-key:dashboards`.
        rights: What it may do, those included in others too.
    """

    principal: str
    rights: frozenset[Permission]


def with_included(names: Iterable[str]) -> frozenset[Permission]:
    """Return the rights of these names and all that they include. Names of anything else mean nothing here."""
    order = list(Permission)
    greatest = max((order.index(Permission(name)) for name in names if name in set(order)), default=-1)
    return frozenset(order[: greatest + 1])


@cache
def required_permission(method: str) -> Permission:
    """Return the right that a method needs, by what the contract says of its effects.

    Args:
        method: Its full name, such as `/sprocket.v1.FactoryService/GetFactory`; one that exists.
    """
    described = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", "."))
    if described.containing_service.full_name in _ADMINISTRATION:
        return Permission.ADMIN
    reads = described.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return Permission.READ if reads else Permission.WRITE
