"""Finds resources by what people call them: an id, or a display name that only one resource has."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.filters import quoted
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.cli.suggestions import did_you_mean

Call: TypeAlias = Callable[[Method, Any], Any]
"""Calls a method with a request, and returns the response; a failed call raises ClientError."""

_SHOWN = 10
_MOST_NAMES = 1_000
"""How many names are compared with an unknown one."""


def identify_all(call: Call, resource: Resource, words: Iterable[str]) -> list[str]:
    """Return the ids of several resources, in the order of `words`, as `identify` does."""
    return [identify(call, resource, each) for each in words]


def identify(call: Call, resource: Resource, word: str) -> str:
    """Return the id that a word is, or else the id of the resource that has this display name.

    Args:
        call: Calls the server.
        resource: The kind of resource.
        word: An id or a display name.

    Raises:
        ClientError: No resource or more than one has this display name, the word is empty, or a call failed.
    """
    if identifier := _identifier(word):
        return identifier
    if not word:  # a variable of a shell that is not set, and no wish for the one resource without a name
        raise ClientError(f"expected the id or the display name of a {resource.title}, not an empty argument")
    found = _list(call, resource, filter=f"display_name = {quoted(word)}", page_size=_SHOWN + 1)
    if not found:
        raise _unknown(call, resource, word)
    if len(found) > 1:
        raise _ambiguous(resource, word, found)
    return str(found[0].id)


def _identifier(word: str) -> str | None:
    try:
        identifier = str(uuid.UUID(word))
    except ValueError:
        return None
    return identifier if identifier == word.lower() else None


def _list(call: Call, resource: Resource, **fields: Any) -> list[Any]:  # noqa: ANN401  # fields of the request
    method = resource.methods["List"]
    return list(getattr(call(method, method.request(**fields)), resource.items))


def _unknown(call: Call, resource: Resource, name: str) -> ClientError:
    names = {each.display_name for each in _list(call, resource, page_size=_MOST_NAMES)}
    how_to_list = f"`sprocket-grpc list {resource.names}` shows all {resource.titles}"
    return ClientError(f"no {resource.title} has the display name {name!r}; {did_you_mean(name, names)}{how_to_list}")


def _ambiguous(resource: Resource, name: str, found: list[Any]) -> ClientError:
    shown = ", ".join(f"{each.id} ({each.display_name})" for each in found[:_SHOWN])
    more = ", and more" if len(found) > _SHOWN else ""
    return ClientError(f"several {resource.titles} have the display name {name!r}; pass the id instead: {shown}{more}")
