"""The update mask: absent, with named fields, with `*`, and with invalid paths."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from tests.conformance.fields import fields_of, output_only
from tests.conformance.messages import SET_BY_UPDATES, with_values, without
from tests.conformance.promises import INVALID_FIELD, invalid, refuses
from tests.conformance.rows import other_values
from tests.support.resources import CASES, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def filled(service: Service, case: Case) -> Any:
    """Create a resource without empty writable fields."""
    optional = {field.name: field.valid_value for field in fields_of(case.name) if not field.required}
    return await case.create(service, **optional)


@every_resource
async def test_an_update_changes_only_the_field_in_the_mask_or_the_only_populated_field(
    service: Service, case: Case
) -> None:
    named, populated = await case.create(service), await case.create(service)
    others = await other_values(service, case)
    for name, value in others.items():
        by_name = await case.update(service, type(named)(id=named.id, **others), [name])
        by_value = await case.update(service, type(named)(id=populated.id, **{name: value}))
        named, populated = with_values(named, {name: value}), with_values(populated, {name: value})
        assert [without(message, SET_BY_UPDATES) for message in (by_name, by_value)] == [named, populated]
        assert await case.page(service) == ([by_name, by_value], "")


@every_resource
async def test_all_fields_can_be_updated_at_once(service: Service, case: Case) -> None:
    others = await other_values(service, case)
    for mask in (None, ["*"], list(others)):
        created = await case.create(service)
        updated = await case.update(service, type(created)(id=created.id, **others), mask)
        assert without(updated, SET_BY_UPDATES) == with_values(created, others)
        assert await case.get(service, created.id) == updated


@every_resource
async def test_a_star_clears_empty_optional_fields(service: Service, case: Case) -> None:
    created = await filled(service, case)
    optional = [field.name for field in fields_of(case.name) if not field.required]
    updated = await case.update(service, without(created, optional), ["*"])
    assert without(updated, SET_BY_UPDATES) == without(created, SET_BY_UPDATES + optional)
    assert await case.get(service, created.id) == updated


@every_resource
async def test_a_star_refuses_empty_required_fields(service: Service, case: Case) -> None:
    created = await filled(service, case)
    required = [field for field in fields_of(case.name) if field.required]
    for field in required:
        assert await invalid(case.update(service, without(created, [field.name]), ["*"])) == [field.path]
    paths = await invalid(case.update(service, type(created)(id=created.id), ["*"]))
    assert sorted(paths) == sorted(field.path for field in required)
    assert await case.get(service, created.id) == created


@every_resource
async def test_an_empty_required_field_in_the_mask_is_refused(service: Service, case: Case) -> None:
    created = await filled(service, case)
    for field in fields_of(case.name):
        if field.required:
            assert await invalid(case.update(service, type(created)(id=created.id), [field.name])) == [field.path]
    assert await case.get(service, created.id) == created


@every_resource
async def test_an_empty_optional_field_in_the_mask_is_cleared(service: Service, case: Case) -> None:
    expected = await filled(service, case)
    for field in fields_of(case.name):
        if not field.required:
            updated = await case.update(service, type(expected)(id=expected.id), [field.name])
            expected = without(expected, [*SET_BY_UPDATES, field.name])
            assert without(updated, SET_BY_UPDATES) == expected
            assert await case.get(service, expected.id) == updated


@every_resource
async def test_without_a_mask_empty_fields_keep_their_values(service: Service, case: Case) -> None:
    created = await filled(service, case)
    assert await case.update(service, type(created)(id=created.id)) == created
    assert await case.get(service, created.id) == created


@every_resource
async def test_an_update_of_output_only_fields_alone_changes_nothing(service: Service, case: Case) -> None:
    created = await case.create(service)
    assert await case.update(service, type(created)(id=created.id), ["id", *output_only(case.name)]) == created
    assert await case.get(service, created.id) == created


@every_resource
async def test_an_update_with_the_stored_values_keeps_them(service: Service, case: Case) -> None:
    created = await filled(service, case)
    for mask in (None, ["*"]):
        updated = await case.update(service, without(created, ["etag"]), mask)
        assert without(updated, SET_BY_UPDATES) == without(created, SET_BY_UPDATES)
        assert await case.get(service, created.id) == updated


@every_resource
async def test_a_duplicate_path_in_the_mask_counts_once(service: Service, case: Case) -> None:
    created = await case.create(service)
    changed = type(created)(id=created.id, display_name="other")
    updated = await case.update(service, changed, ["display_name", "display_name"])
    assert without(updated, SET_BY_UPDATES) == with_values(created, {"display_name": "other"})


@every_resource
async def test_an_unknown_path_is_refused_alone_and_beside_a_known_one(service: Service, case: Case) -> None:
    created = await case.create(service)
    changed = type(created)(id=created.id, display_name="other")
    unknown = ["nonsense", "", " ", "Display_name", "displayName", "display_name ", "display_name.foo", "."]
    unknown += [
        f"{case.name}.display_name",
        "display_name,etag",
        "*.*",
        "id.foo",
        "create_time.foo",
        "a\0b",
        "\u00e4",
    ]
    masks = [[path] for path in unknown] + [["display_name", path] for path in unknown]
    paths = await asyncio.gather(*(invalid(case.update(service, changed, mask)) for mask in masks))
    assert dict(zip(map(tuple, masks), paths, strict=True)) == {tuple(mask): ["update_mask"] for mask in masks}
    assert await case.get(service, created.id) == created


@every_resource
async def test_an_error_names_each_unknown_path(service: Service, case: Case) -> None:
    created = await case.create(service)
    with refuses(grpc.StatusCode.INVALID_ARGUMENT, INVALID_FIELD) as failure:
        await case.update(service, created, ["first_unknown", "display_name", "second_unknown"])
    first, second = failure.detail(BadRequest).field_violations
    assert "first_unknown" in first.description
    assert "second_unknown" in second.description


@every_resource
async def test_a_star_beside_other_paths_is_refused(service: Service, case: Case) -> None:
    created = await case.create(service)
    for mask in (["*", "display_name"], ["etag", "*"], ["*", "nonsense"]):
        assert await invalid(case.update(service, created, mask)) == ["update_mask"]
    assert await case.get(service, created.id) == created
