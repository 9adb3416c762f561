"""Rows that were stored under other rules, or by another clock, than those of today."""

from typing import Any

import grpc
import pytest

from tests.conformance.messages import with_values
from tests.conformance.promises import invalid, refusal
from tests.support.books import query
from tests.support.resources import CASES, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
with_required_name = pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "sprocket"], ids=lambda case: case.name
)

OTHER_FIELDS = [
    (case, others[0])
    for case in CASES
    if case.name != "sprocket"
    and (others := [field.name for field in case.descriptor.fields if field.number > 5 and field.name != "location_id"])
]
"""The resources with a required name, each with a field beside the name, if it has one."""

BLANK = "\u2003"
"""White space to the service, and none to the constraint of the column."""


async def stored_with(service: Service, case: Case, column: str, value: str) -> Any:
    """Create a resource, set a column by SQL, and return the resource as it is then."""
    identifier = (await case.create(service)).id
    statement = f"UPDATE {case.name} SET {column} = :value WHERE id = '{identifier}'"  # noqa: S608  # our own names
    await query(service, statement.replace(":value", f"'{value}'"))
    return await case.get(service, identifier)


@pytest.mark.parametrize(("case", "other"), OTHER_FIELDS, ids=lambda value: getattr(value, "name", value))
async def test_an_update_of_another_field_has_to_bring_a_row_under_todays_rules(
    service: Service, case: Case, other: str
) -> None:
    stored = await stored_with(service, case, "display_name", BLANK)
    assert await invalid(case.update(service, stored, [other])) == [f"{case.name}.display_name"]
    assert await case.get(service, stored.id) == stored
    repaired = with_values(stored, {"display_name": "Mended"})
    assert (await case.update(service, repaired, [other, "display_name"])).display_name == "Mended"


@with_required_name
async def test_a_row_that_breaks_todays_rules_can_be_read_and_deleted(service: Service, case: Case) -> None:
    stored = await stored_with(service, case, "display_name", BLANK)
    assert await case.page(service) == ([stored], "")
    await case.delete(service, stored.id)
    assert await case.page(service) == ([], "")


@every_resource
async def test_each_update_has_a_later_time_and_another_etag_even_if_the_clock_was_set_back(
    service: Service, case: Case
) -> None:
    states = [await stored_with(service, case, "update_time", "2200-01-01T00:00:00Z")]
    for name in ("one", "two", "one"):
        named = with_values(states[-1], {"display_name": name})
        states.append(await case.update(service, named, ["display_name"]))
    times = [state.update_time.ToMicroseconds() for state in states]
    assert times == sorted(set(times))
    assert len({state.etag for state in states}) == len(states)
    for state in states[:-1]:
        late = case.update(service, state, ["display_name"])
        await refusal(late, grpc.StatusCode.ABORTED, "ERROR_REASON_ETAG_MISMATCH")
