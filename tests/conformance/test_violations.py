"""Requests with two or more invalid fields: one error lists all of them with their full paths."""

import pytest

from tests.conformance.fields import fields_of
from tests.conformance.promises import invalid
from tests.support.resources import CASES, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def all_paths(case: Case, *, only_required: bool = False) -> list[str]:
    """Return the paths of the writable fields, sorted."""
    return sorted(field.path for field in fields_of(case.name) if field.required or not only_required)


@every_resource
async def test_create_reports_all_invalid_fields_together(service: Service, case: Case) -> None:
    invalid_values = {field.name: field.invalid_value for field in fields_of(case.name)}
    request = case.request("Create", **{case.name: invalid_values})
    assert sorted(await invalid(case.method(service, "Create")(request))) == all_paths(case)


@every_resource
async def test_update_reports_all_invalid_fields_together(service: Service, case: Case) -> None:
    created = await case.create(service)
    invalid_values = {field.name: field.invalid_value for field in fields_of(case.name)}
    for mask in (None, ["*"], list(invalid_values)):
        changed = type(created)(id=created.id, **invalid_values)
        assert sorted(await invalid(case.update(service, changed, mask))) == all_paths(case)
    assert await case.get(service, created.id) == created


@every_resource
async def test_all_missing_fields_of_an_empty_or_absent_message_are_reported_together(
    service: Service, case: Case
) -> None:
    required = all_paths(case, only_required=True)
    create = case.method(service, "Create")
    if required:
        assert sorted(await invalid(create(case.request("Create", **{case.name: {}})))) == required
        assert sorted(await invalid(create(case.request("Create")))) == required
    assert await invalid(case.method(service, "Update")(case.request("Update"))) == [f"{case.name}.id"]


@every_resource
async def test_an_invalid_id_path_and_value_are_reported_together(service: Service, case: Case) -> None:
    field = fields_of(case.name)[0]
    message = type(await case.create(service))(id="nonsense", **{field.name: field.invalid_value})
    paths = await invalid(case.update(service, message, [field.name, "nonsense"]))
    assert sorted(paths) == sorted([f"{case.name}.id", field.path, "update_mask"])


@every_resource
async def test_an_invalid_page_size_and_page_token_are_reported_together(service: Service, case: Case) -> None:
    request = case.page(service, page_size=-1, page_token="nonsense")  # noqa: S106  # no password
    assert sorted(await invalid(request)) == ["page_size", "page_token"]
