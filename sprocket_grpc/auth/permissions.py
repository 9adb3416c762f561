"""The permissions of callers, and the permission that each method requires. Nothing else decides this."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

_ADMINISTRATION = frozenset({"sprocket.v1.AuditService"})
"""The services whose methods all require the permission `sprocket.admin`."""


class Permission(StrEnum):
    """A permission of a caller. Each one includes those before it."""

    READ = "sprocket.read"
    WRITE = "sprocket.write"
    ADMIN = "sprocket.admin"


@dataclass(frozen=True)
class Identity:
    """An authenticated caller.

    Attributes:
        principal: Its name, such as `api-key:dashboards`.
        permissions: Its permissions, including those that are included in others.
        expire_time: When its credentials expire, in seconds since 1970; infinite if they do not, or if only the
            database knows.
    """

    principal: str
    permissions: frozenset[Permission]
    expire_time: float = math.inf


def with_included(names: Iterable[str]) -> frozenset[Permission]:
    """Return the permissions with these names and all that they include. Unknown names are ignored."""
    order = list(Permission)
    greatest = max((order.index(Permission(name)) for name in names if name in set(order)), default=-1)
    return frozenset(order[: greatest + 1])


@cache
def required_permission(method: str) -> Permission:
    """Return the permission that a method requires, derived from its idempotency_level in the contract.

    Args:
        method: The path of an existing method, such as `/sprocket.v1.FactoryService/GetFactory`.
    """
    described = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", "."))
    if described.containing_service.full_name in _ADMINISTRATION:
        return Permission.ADMIN
    reads = described.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return Permission.READ if reads else Permission.WRITE
