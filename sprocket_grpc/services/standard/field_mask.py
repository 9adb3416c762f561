"""The fields that an update changes (AIP-134, AIP-161)."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from sprocket_grpc.errors import Violation
from sprocket_grpc.services.standard.resource import M, Resource

_FIELD = "update_mask"
_REPORTED_PATHS = 10  # an error has to fit into the trailers of a response, which stop at 8 kB
_REPORTED_CHARACTERS = 64


def changed_fields(resource: Resource[M], message: M, mask: FieldMask) -> list[str]:
    """Return the names of the writable fields to set, as `mask` says.

    Without a path these are the fields that are not empty in `message`; `*` means all of them. Output-only
    fields are left out silently, and so are unknown ones, which `mask_violations` reports.
    """
    paths = set(mask.paths)
    if paths == {"*"}:
        return list(resource.rules)
    if paths:
        return [name for name in resource.rules if name in paths]
    return [name for name in resource.rules if getattr(message, name) != _default(resource, name)]


def mask_violations(resource: Resource[M], mask: FieldMask) -> list[Violation]:
    """Return the violations of a mask: unknown paths, and `*` beside other paths."""
    if len(mask.paths) > 1 and "*" in mask.paths:
        return [Violation(_FIELD, "the path * must stand alone")]
    every = (path for path in mask.paths if path != "*" and not _exists(resource, path))
    unknown = list(islice(every, _REPORTED_PATHS + 1))  # a mask may have a million paths: the rest is not checked
    reported = [_unknown(resource, path) for path in unknown[:_REPORTED_PATHS]]
    return reported + _unreported(unknown[_REPORTED_PATHS:])


def _exists(resource: Resource[M], path: str) -> bool:
    return path in resource.descriptor.fields_by_name or FieldMask(paths=[path]).IsValidForDescriptor(
        resource.descriptor
    )


def _unknown(resource: Resource[M], path: str) -> Violation:
    # Other characters than ASCII take several times the room in a trailer.
    escaped = path.encode("unicode_escape").decode()
    shown = escaped if len(escaped) <= _REPORTED_CHARACTERS else f"{escaped[:_REPORTED_CHARACTERS]}..."
    return Violation(_FIELD, f"{resource.descriptor.name} has no field '{shown}'", shown)


def _unreported(unknown: Sequence[str]) -> list[Violation]:
    return [Violation(_FIELD, "more paths are unknown")] if unknown else []


def _default(resource: Resource[M], name: str) -> Any:  # noqa: ANN401  # the type is the field's
    return resource.descriptor.fields_by_name[name].default_value
