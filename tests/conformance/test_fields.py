"""Every writable field: values in the documented range are stored exactly, other values are refused with its path."""

import asyncio

import pytest

from tests.conformance.fields import FIELDS, Field, fields_of, output_only
from tests.conformance.messages import with_values
from tests.conformance.promises import invalid
from tests.conformance.rows import references
from tests.support.resources import CASE_OF, CASES, Case
from tests.support.service import Service

every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
every_field_of_free_values = pytest.mark.parametrize(
    "field", [field for field in FIELDS if field.valid], ids=lambda field: field.path
)


@every_field_of_free_values
async def test_a_value_in_range_is_stored_exactly_by_create_and_update(service: Service, field: Field) -> None:
    case = CASE_OF[field.resource]
    shared = await references(service, case)
    changing = await case.create(service, **shared)
    for label, value in field.valid.items():
        created = await case.create(service, **shared | {field.name: value})
        updated = await case.update(service, type(created)(id=changing.id, **{field.name: value}), [field.name])
        stored = [await case.get(service, message.id) for message in (created, updated)]
        assert stored == [created, updated]
        assert [getattr(message, field.name) for message in stored] == [value, value], label


@every_field
async def test_a_value_out_of_range_is_refused_by_create_and_update(service: Service, field: Field) -> None:
    case = CASE_OF[field.resource]
    stored = await case.create(service)
    create = case.method(service, "Create")
    calls = []
    for value in field.invalid.values():
        changed = with_values(stored, {field.name: value})
        calls.append(invalid(create(case.request("Create", **{case.name: changed}))))
        calls.append(invalid(case.update(service, changed, [field.name])))
    refused = await asyncio.gather(*calls)
    labels = [f"{verb}: {label}" for label in field.invalid for verb in ("Create", "Update")]
    assert dict(zip(labels, refused, strict=True)) == {label: [field.path] for label in labels}
    assert await case.page(service) == ([stored], "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_these_tests_cover_every_writable_field(case: Case) -> None:
    writable = set(case.descriptor.fields_by_name) - {"id", *output_only(case.name)}
    covered = {field.name for field in fields_of(case.name)}
    assert covered == writable, "add a line to FIELDS, or to _SET_BY_SERVER, in tests/conformance/fields.py"


@every_field
def test_the_rule_of_a_field_agrees_with_its_values(field: Field) -> None:
    assert [label for label, value in field.valid.items() if not field.rule(value)] == []
    assert [label for label, value in field.invalid.items() if field.rule(value)] == []
    assert [value for value in field.unstorable if field.rule(value)] == []
