"""The permissions of callers, and the permission that each method requires. Nothing else decides this.

The permissions of a service are named after what it lists: `sprocket.locations.read` for the methods of LocationService
that are marked NO_SIDE_EFFECTS, and `sprocket.locations.write` for its others. They are derived from the contract.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket_grpc.caller import FORCE
from sprocket_grpc.contract import FILES

PREFIX = "sprocket."
"""Precedes the names of all permissions in tokens and errors; keys and settings omit it."""

_ADMINISTRATION = frozenset({"sprocket.v1.AuditService"})
"""The services whose permissions only `sprocket.admin` includes."""


@dataclass(frozen=True)
class Identity:
    """An authenticated caller.

    Attributes:
        principal: Its name, such as `api-key:dashboards`.
        permissions: Its permissions, including those that are included in others.
        expire_time: When its credentials expire, in seconds since 1970; infinite if they do not, or if only the
            database knows.
        factories: The ids of the factories that it is limited to, or None if it is not limited.
    """

    principal: str
    permissions: frozenset[str]
    expire_time: float = math.inf
    factories: frozenset[str] | None = None


def _subject(service: ServiceDescriptor) -> str:
    """Return what a service is about, by the name of its List method: `sprocket_types` for SprocketTypeService."""
    listed = (method.name.removeprefix("List") for method in service.methods if method.name.startswith("List"))
    name = next(listed, service.name.removesuffix("Service"))
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower()


def _permission(method: MethodDescriptor) -> str:
    reads = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return f"{PREFIX}{_subject(method.containing_service)}.{'read' if reads else 'write'}"


_METHODS = [method for file in FILES for service in file.services_by_name.values() for method in service.methods]

REQUIRED = {f"/{method.containing_service.full_name}/{method.name}": _permission(method) for method in _METHODS}
"""The permission that each method requires, by its path. A Delete with `force` requires FORCE too."""

_EVERYDAY = frozenset(
    _permission(each) for each in _METHODS if each.containing_service.full_name not in _ADMINISTRATION
)
_READ = frozenset(each for each in _EVERYDAY if each.endswith(".read"))

BUNDLES = {
    "sprocket.read": _READ,
    "sprocket.write": _EVERYDAY | {FORCE},
    "sprocket.admin": frozenset(REQUIRED.values()) | {FORCE},
}
"""Permissions that stand for others. They grow with the contract."""

PERMISSIONS = (*BUNDLES, *sorted(BUNDLES["sprocket.admin"]))
"""All permissions that a key, a token or a setting can grant."""


def with_included(names: Iterable[str]) -> frozenset[str]:
    """Return the permissions with these names, and those that they include. Unknown names are ignored."""
    return frozenset().union(*(BUNDLES.get(name, {name}) for name in names if name in PERMISSIONS))


def required_permission(method: str) -> str:
    """Return the permission that a method requires.

    Args:
        method: The path of an existing method, such as `/sprocket.v1.FactoryService/GetFactory`.
    """
    return REQUIRED[method]
