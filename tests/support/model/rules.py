"""Rules for requests that do not depend on stored data, and the fields of an update, as the protos document them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.conformance.fields import FIELDS, Rule, is_identifier
from tests.support.resources import CASES, Case, references_of

ALL = ["*"]
MOST_IN_BATCH = 1000


def is_etag(value: str) -> bool:
    """Whether a value is a quoted etag or empty."""
    return value == "" or re.fullmatch('"[^"]*"', value) is not None


RULES: Mapping[str, Mapping[str, Rule]] = {
    case.name: {field.name: field.rule for field in FIELDS if field.resource == case.name} for case in CASES
}
"""The fields of each resource that callers set, with their rules. All other fields are output only."""

REFERENCES: Mapping[str, Mapping[str, str]] = {
    case.name: {each.field: each.target.name for each in references_of(case)} for case in CASES
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
    messages = getattr(request, case.plural)
    if not 1 <= len(messages) <= MOST_IN_BATCH:
        yield case.plural
    for index, each in enumerate(messages):
        yield from invalid_fields(case, each, RULES[case.name], f"{case.plural}[{index}]")


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
