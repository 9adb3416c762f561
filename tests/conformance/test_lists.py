"""Lists with filters, orders and total sizes, and their page tokens."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.fields import fields_of
from tests.conformance.promises import INVALID_PAGE_TOKEN, invalid
from tests.conformance.rows import references
from tests.support.resources import CASES, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

_EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "location": [{"city": city, "address_2": floor} for city in ("aa", "bb") for floor in ("", "floor")],
    "sprocket_type": [{"teeth": teeth, "pitch_mm": pitch} for teeth in (9, 12) for pitch in (0.5, 9.525)],
    "factory": [{"sprocket_production_goal": goal} for goal in (0, 5, 10, 2**40)],
}
"""Values that the filters below select by. They test the language of filters: a resource needs none."""

_SELECTING: dict[str, dict[str, list[int]]] = {
    "location": {'city = "b*" AND address_2 = floor': [3, 7], "NOT city:aa": [2, 3, 6, 7]},
    "sprocket_type": {"teeth >= 12 AND pitch_mm < 9.525": [2, 6], "teeth != 9 pitch_mm > 1": [3, 7]},
    "factory": {
        "sprocket_production_goal > 5 AND sprocket_production_actual < 100": [2, 3, 6, 7],
        "sprocket_production_goal = 1099511627776": [3, 7],
    },
}
"""The indexes of the resources from `create_varied` that a filter selects."""


def varied(case: Case) -> list[dict[str, Any]]:
    """Return values for the fields that only a resource has: of each field two, in turn, or those of an example."""
    two = {field.name: list(field.valid.values())[:2] for field in fields_of(case.name) if field.valid}
    return [
        {name: values[number % len(values)] for name, values in two.items()} | example
        for number, example in enumerate(_EXAMPLES.get(case.name, [{}] * 4))
    ]


async def create_varied(service: Service, case: Case) -> list[Any]:
    """Create eight resources, with ties in every field except the id and the times, and return them ordered by id."""
    shared = await references(service, case)
    fields = [shared | more | {"display_name": name} for name, more in zip("abcd", varied(case), strict=True)]
    return [await case.create(service, **each) for each in fields * 2]


async def all_pages(service: Service, case: Case, size: int, **fields: Any) -> list[Any]:
    """List all resources, page by page."""
    found, token = await case.page(service, page_size=size, **fields)
    while token:
        more, token = await case.page(service, page_size=size, page_token=token, **fields)
        found += more
    return found


def comparable_fields(case: Case) -> list[str]:
    """Return the names of the fields of a resource that filters and orders support."""
    return [field.name for field in case.descriptor.fields if field.name != "etag"]


def literal(value: Any) -> str:
    """Format a value as a literal of a filter."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int | float) else str(value.ToJsonString())


def comparable(value: Any) -> Any:
    """Return the sort key of a value."""
    return value if isinstance(value, str | int | float) else value.ToNanoseconds()


def sorted_by(messages: Sequence[Any], field: str, *, descending: bool = False) -> list[Any]:
    """Sort by a field, and ties by id in the same direction."""
    return sorted(messages, key=lambda it: (comparable(getattr(it, field)), it.id), reverse=descending)


@every_resource
async def test_every_field_but_the_etag_can_be_filtered(service: Service, case: Case) -> None:
    created = await create_varied(service, case)
    for field in comparable_fields(case):
        value = getattr(created[5], field)
        same = [message for message in created if getattr(message, field) == value]
        others = [message for message in created if message not in same]
        queries = [f"{field} = {literal(value)}", f"{field} != {literal(value)}", f"NOT {field} = {literal(value)}"]
        found = await asyncio.gather(*(all_pages(service, case, 3, filter=query) for query in queries))
        assert found == [same, others, others], field
    assert await invalid(case.page(service, filter=f"etag = {literal(created[0].etag)}")) == ["filter"]


@every_resource
async def test_a_filter_selects_as_documented(service: Service, case: Case) -> None:
    created = await create_varied(service, case)
    filters = _SELECTING.get(case.name, {}) | {
        "": [0, 1, 2, 3, 4, 5, 6, 7],
        "display_name = a": [0, 4],
        "a": [0, 4],
        "-display_name = a AND display_name < c": [1, 5],
        "display_name = c OR display_name = d AND NOT display_name = d": [2, 6],
        "display_name = b OR display_name = c AND display_name != c": [1, 5],
        "display_name = d AND (display_name = c OR display_name = d)": [3, 7],
        f"create_time > {created[5].create_time.ToJsonString()}": [6, 7],
        f"create_time <= {created[1].create_time.ToJsonString()}": [0, 1],
        "create_time > 2020-01-01T00:00:00Z AND display_name = nothing": [],
        " OR ".join(f'id = "{created[index].id}"' for index in (2, 0)): [0, 2],
    }
    for query, indexes in filters.items():
        found, token = await case.page(service, filter=query)
        assert (found, token) == ([created[index] for index in indexes], ""), query


@every_resource
async def test_every_field_can_be_ordered_by_with_ties_in_the_order_of_ids(service: Service, case: Case) -> None:
    created = await create_varied(service, case)
    for field in comparable_fields(case):
        upwards, downwards = await asyncio.gather(
            all_pages(service, case, 3, order_by=field), all_pages(service, case, 3, order_by=f"{field} desc")
        )
        assert upwards == sorted_by(created, field), field
        assert downwards == sorted_by(created, field, descending=True), field


@every_resource
async def test_paging_with_an_order_by_two_fields_lists_every_resource_once(service: Service, case: Case) -> None:
    created = await create_varied(service, case)
    latest_first = sorted_by(created, "create_time", descending=True)
    expected = sorted(latest_first, key=lambda message: str(message.display_name))
    for size in (1, 2, 8):
        for spaced in ("display_name,create_time desc", "  display_name ,  create_time   desc "):
            assert await all_pages(service, case, size, order_by=spaced) == expected
    expected = [message for message in expected if message.display_name != "b"]
    assert await all_pages(service, case, 2, order_by="display_name,create_time desc", filter="-b") == expected


@every_resource
async def test_every_page_has_the_total_size_of_the_filtered_list(service: Service, case: Case) -> None:
    await create_varied(service, case)
    for fields, expected in (
        ({}, [8, 8]),
        ({"filter": "-display_name = a"}, [6, 6]),
        ({"filter": "display_name = x"}, [0]),
    ):
        assert await totals(service, case, show_total_size=True, **fields) == expected
        assert await totals(service, case, **fields) == [0] * len(expected)


async def totals(service: Service, case: Case, **fields: Any) -> list[int]:
    """List all resources, and return the total size of each page."""
    sizes: list[int] = []
    token: str | None = None
    while token != "":
        request = case.request("List", page_size=4, page_token=token or "", **fields)
        response = await case.method(service, "List")(request)
        token = response.next_page_token
        sizes.append(response.total_size)
    return sizes


@every_resource
async def test_a_token_is_valid_for_the_same_request_only(service: Service, case: Case) -> None:
    created = await create_varied(service, case)
    same = {"filter": "NOT display_name = a", "order_by": "display_name desc", "show_total_size": True}
    _, token = await case.page(service, page_size=1, **same)
    others: list[dict[str, Any]] = [
        {"filter": "NOT display_name = b"},
        {"filter": ""},
        {"order_by": "display_name"},
        {"order_by": ""},
        {"order_by": "display_name desc, id"},
        {"show_total_size": False},
    ]
    calls = [invalid(case.page(service, page_token=token, **same | other), INVALID_PAGE_TOKEN) for other in others]
    calls.append(invalid(case.page(service, page_token=token), INVALID_PAGE_TOKEN))
    assert await asyncio.gather(*calls) == [["page_token"]] * len(calls)
    rest, _ = await case.page(service, page_token=token, page_size=8, **same)
    assert rest == [created[index] for index in (3, 6, 2, 5, 1)]


@every_resource
async def test_a_token_of_a_plain_list_is_refused_with_a_filter_or_an_order(service: Service, case: Case) -> None:
    await create_varied(service, case)
    _, token = await case.page(service, page_size=1)
    others: list[dict[str, Any]] = [{"filter": "a"}, {"order_by": "display_name"}, {"show_total_size": True}]
    calls = [invalid(case.page(service, page_token=token, **other), INVALID_PAGE_TOKEN) for other in others]
    assert await asyncio.gather(*calls) == [["page_token"]] * len(others)


INVALID_FILTERS = [
    "color = red",
    "display_name.color = red",
    "create_time > yesterday",
    "create_time = 5",
    "id = 5",
    "display_name =",
    "= a",
    "(display_name = a",
    "display_name = a)",
    '"a',
    "a AND",
    "OR a",
    "display_name = \0",
    "x" * 10_000,
    "display_name = a AND " * 500 + "a",
    "(" * 1000 + "a" + ")" * 1000,
    "(" * 900 + "a" + ")" * 900,
    "NOT " * 400 + "a",
    "-" * 1000 + "a",
    " ".join("a" * 101),
]
INVALID_ORDERS = [
    "color",
    "display_name color",
    "display_name DESC DESC",
    "display_name desc desc",
    "display_name,",
    ",display_name",
    "display_name,,id",
    "display_name;id",
    "display_name; DROP TABLE location",
    "display_name.color",
    "(display_name)",
    "-display_name",
    "\0",
    "x" * 10_000,
    "," * 10_000,
]


@every_resource
async def test_an_invalid_filter_or_order_is_refused_and_its_path_is_named(service: Service, case: Case) -> None:
    await case.create(service)
    filters = [invalid(case.page(service, filter=query)) for query in INVALID_FILTERS]
    for query, fields in zip(INVALID_FILTERS, await asyncio.gather(*filters), strict=True):
        assert fields == ["filter"], query
    orders = [invalid(case.page(service, order_by=order)) for order in INVALID_ORDERS]
    for order, fields in zip(INVALID_ORDERS, await asyncio.gather(*orders), strict=True):
        assert fields == ["order_by"], order


@every_resource
async def test_all_invalid_fields_of_a_list_are_reported_together(service: Service, case: Case) -> None:
    call = case.page(service, page_size=-1, filter="color = red", order_by="color")
    assert sorted(await invalid(call)) == ["filter", "order_by", "page_size"]
