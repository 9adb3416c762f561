"""Rules for requests that do not depend on stored data, and the fields of an update, as the protos document them."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tests.support.resources import Case

Rule: TypeAlias = Callable[[Any], bool]

ALL = ["*"]
MOST_IN_BATCH = 1000


def text(maximum: int, *, required: bool = True) -> Rule:
    """Return a rule for text."""
    return lambda value: len(value) <= maximum and "\0" not in value and (bool(value.strip()) or not required)


def is_identifier(value: str) -> bool:
    """Whether a value is a UUID in lower case."""
    return re.fullmatch("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", value) is not None


def is_etag(value: str) -> bool:
    """Whether a value is a quoted etag or empty."""
    return value == "" or re.fullmatch('"[^"]*"', value) is not None


def is_measure(value: float) -> bool:
    """Whether a value is a valid length."""
    return value > 0 and math.isfinite(value)


RULES: Mapping[str, Mapping[str, Rule]] = {
    "location": {
        "display_name": text(63),
        "address": text(200),
        "address_2": text(200, required=False),
        "city": text(100),
        "administrative_area": text(100, required=False),
        "postal_code": text(20),
        "country_code": lambda value: re.fullmatch("[A-Z]{2}", value) is not None,
    },
    "sprocket_type": {
        "display_name": text(63),
        "teeth": lambda value: 1 <= value <= 10_000,
        "pitch_mm": is_measure,
        "pitch_diameter_mm": is_measure,
        "outside_diameter_mm": is_measure,
    },
    "factory": {
        "display_name": text(63),
        "location_id": is_identifier,
        "sprocket_production_goal": lambda value: value >= 0,
    },
    "sprocket": {
        "display_name": text(63, required=False),
        "sprocket_type_id": is_identifier,
        "factory_id": is_identifier,
    },
}
"""The fields of each resource that callers set, with their rules. All other fields are output only."""

REFERENCES: Mapping[str, Mapping[str, str]] = {
    "location": {},
    "sprocket_type": {},
    "factory": {"location_id": "location"},
    "sprocket": {"sprocket_type_id": "sprocket_type", "factory_id": "factory"},
}
"""The fields that refer to other resources, and the kind of these."""


def invalid_fields(case: Case, message: Any, names: Iterable[str], prefix: str) -> set[str]:
    """Return the paths of the invalid fields among `names`."""
    return {f"{prefix}.{name}" for name in names if not RULES[case.name][name](getattr(message, name))}


def changed_fields(case: Case, message: Any, paths: list[str]) -> list[str]:
    """Return the fields that an update sets."""
    if not paths:
        return [name for name in RULES[case.name] if getattr(message, name) != getattr(type(message)(), name)]
    return [name for name in RULES[case.name] if paths == ALL or name in paths]


def invalid_request_fields(case: Case, verb: str, request: Any) -> set[str]:
    """Return the paths of all invalid fields of a request."""
    fields = {field.name for field, _ in request.ListFields()}
    invalid = set(_CHECKS[verb](case, request))
    if "request_id" in fields and not is_identifier(request.request_id):
        invalid.add("request_id")
    return invalid


def _create(case: Case, request: Any) -> set[str]:
    return invalid_fields(case, getattr(request, case.name), RULES[case.name], case.name)


def _update(case: Case, request: Any) -> Iterator[str]:
    message, paths = getattr(request, case.name), list(request.update_mask.paths)
    yield from invalid_fields(case, message, changed_fields(case, message, paths), case.name)
    if not is_identifier(message.id):
        yield f"{case.name}.id"
    if not is_etag(message.etag):
        yield f"{case.name}.etag"
    if paths != ALL and not set(paths) <= set(message.DESCRIPTOR.fields_by_name):
        yield "update_mask"


def _get(_: Case, request: Any) -> Iterator[str]:
    if not is_identifier(request.id):
        yield "id"


def _delete(case: Case, request: Any) -> Iterator[str]:
    yield from _get(case, request)
    if not is_etag(request.etag):
        yield "etag"


def _chart(_: Case, request: Any) -> Iterator[str]:
    if not is_identifier(request.factory_id):
        yield "factory_id"


def _batch_get(_: Case, request: Any) -> Iterator[str]:
    if not 1 <= len(request.ids) <= MOST_IN_BATCH:
        yield "ids"
        return
    yield from (f"ids[{index}]" for index, each in enumerate(request.ids) if not is_identifier(each))


def _batch_delete(case: Case, request: Any) -> Iterator[str]:
    yield from _batch_get(case, request)
    yield from (f"ids[{index}]" for index, each in enumerate(request.ids) if each in request.ids[:index])


def _batch_create(case: Case, request: Any) -> Iterator[str]:
    if not 1 <= len(request.sprockets) <= MOST_IN_BATCH:
        yield "sprockets"
    for index, each in enumerate(request.sprockets):
        yield from invalid_fields(case, each, RULES[case.name], f"sprockets[{index}]")


_CHECKS: Mapping[str, Callable[[Case, Any], Iterable[str]]] = {
    "Create": _create,
    "Get": _get,
    "Update": _update,
    "Delete": _delete,
    "BatchGet": _batch_get,
    "BatchCreate": _batch_create,
    "BatchDelete": _batch_delete,
    "Chart": _chart,
}
