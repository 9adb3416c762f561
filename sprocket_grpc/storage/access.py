"""Checks what only the body of a request or a stored row tells: the factories that it reaches, and `force`."""

from collections.abc import Iterable

from sprocket_grpc.caller import FORCE, current_grant
from sprocket_grpc.errors import NotFoundError, OutOfReachError, PermissionDeniedError, SprocketError


def is_limited() -> bool:
    """Whether the current caller is limited to factories."""
    return current_grant().factories is not None


def permits(factory_id: str) -> bool:
    """Whether the current caller may access a factory, its chart and its sprockets."""
    factories = current_grant().factories
    return factories is None or factory_id in factories


def require_factories(factory_ids: Iterable[str]) -> None:
    """Check that the current caller may access factories, whether or not they exist.

    Raises:
        OutOfReachError: It may not access some of them. The error names them.
    """
    if denied := [each for each in dict.fromkeys(factory_ids) if not permits(each)]:
        raise OutOfReachError("factory", *denied)


def require_new_factories() -> None:
    """Check that the current caller may create factories, whose ids are not known yet.

    Raises:
        OutOfReachError: It is limited to factories.
    """
    if is_limited():
        raise OutOfReachError("new factory")


def require_force() -> None:
    """Check that the current caller may delete what refers to a resource with it.

    Raises:
        PermissionDeniedError: It may not.
    """
    if not current_grant().may_force:
        raise PermissionDeniedError(FORCE)


def not_found(resource: str, *identifiers: str) -> SprocketError:
    """Return the error for resources of factories that do not exist or that the current caller may not access.

    A caller that is limited to factories gets the same error for both, which tells nothing about other factories.
    """
    return OutOfReachError(resource, *identifiers) if is_limited() else NotFoundError(resource, *identifiers)
