"""Several wrong fields at once: one error that lists them all, each with its full path (row 14)."""

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
async def test_all_wrong_fields_of_a_new_one_are_listed_at_once(service: Service, case: Case) -> None:
    unfit = {field.name: field.unfit for field in fields_of(case.name)}
    request = case.request("Create", **{case.name: unfit})
    assert sorted(await invalid(case.method(service, "Create")(request))) == all_paths(case)


@every_resource
async def test_all_wrong_fields_of_an_update_are_listed_at_once(service: Service, case: Case) -> None:
    created = await case.create(service)
    unfit = {field.name: field.unfit for field in fields_of(case.name)}
    for mask in (None, ["*"], list(unfit)):
        changed = type(created)(id=created.id, **unfit)
        assert sorted(await invalid(case.update(service, changed, mask))) == all_paths(case)
    assert await case.get(service, created.id) == created


@every_resource
async def test_all_missing_fields_are_listed_at_once_whether_the_message_is_empty_or_absent(
    service: Service, case: Case
) -> None:
    required = all_paths(case, only_required=True)
    create = case.method(service, "Create")
    if required:
        assert sorted(await invalid(create(case.request("Create", **{case.name: {}})))) == required
        assert sorted(await invalid(create(case.request("Create")))) == required
    assert await invalid(case.method(service, "Update")(case.request("Update"))) == [f"{case.name}.id"]


@every_resource
async def test_a_wrong_id_an_unknown_path_and_a_wrong_value_are_listed_at_once(service: Service, case: Case) -> None:
    name = fields_of(case.name)[0]
    message = type(await case.create(service))(id="nonsense", **{name.name: name.unfit})
    paths = await invalid(case.update(service, message, [name.name, "nonsense"]))
    assert sorted(paths) == sorted([f"{case.name}.id", name.path, "update_mask"])


@every_resource
async def test_a_wrong_page_size_and_a_wrong_token_are_listed_at_once(service: Service, case: Case) -> None:
    request = case.page(service, page_size=-1, page_token="nonsense")  # noqa: S106  # no password
    assert sorted(await invalid(request)) == ["page_size", "page_token"]
