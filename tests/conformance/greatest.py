"""The greatest legal content of resources: every field, of any type, as large on the wire as its rule allows."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conformance.fields import Field, fields_of
from tests.support.resources import MISSING_ID, Case

_OUTPUTS: dict[int, Any] = {
    FieldDescriptor.TYPE_STRING: MISSING_ID,  # an id, or the shorter etag
    FieldDescriptor.TYPE_INT64: 2**63 - 1,
    FieldDescriptor.TYPE_MESSAGE: Timestamp(seconds=253_402_300_799, nanos=999_999_999),
}
"""The largest values of fields without free values, by type: add a line for a field of another type."""


def greatest_values(case: Case) -> dict[str, Any]:
    """Return the largest valid value of each writable field that has no reference."""
    return {field.name: _largest(case, field) for field in fields_of(case.name) if field.valid}


def _largest(case: Case, field: Field) -> Any:
    kind = getattr(case.pb, case.kind)
    return max(field.valid.values(), key=lambda value: int(kind(**{field.name: value}).ByteSize()))


def greatest(case: Case) -> Any:
    """Return a resource that no legal one exceeds in bytes."""
    values = greatest_values(case)
    others = {field.name: _OUTPUTS[field.type] for field in case.descriptor.fields if field.name not in values}
    return getattr(case.pb, case.kind)(**values, **others)
