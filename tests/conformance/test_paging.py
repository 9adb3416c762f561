"""Page sizes, and paging through lists that change at the same time."""

import asyncio
from itertools import chain, cycle, islice
from typing import Any

import pytest

from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import invalid
from tests.conformance.rows import copy_rows, create_several, references
from tests.support.resources import CASES, LOCATION, Case, create_location
from tests.support.service import Service, running_service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def sizes_got(service: Service, case: Case, sizes: list[int]) -> dict[int, int]:
    """List the first page with each page size, and return the number of resources on it."""
    pages = await asyncio.gather(*(case.page(service, page_size=size) for size in sizes))
    return {size: len(messages) for size, (messages, _) in zip(sizes, pages, strict=True)}


async def walk(service: Service, case: Case, page_size: int) -> list[list[Any]]:
    """List all pages."""
    messages, token = await case.page(service, page_size=page_size)
    pages = [messages]
    while token:
        messages, token = await case.page(service, page_size=page_size, page_token=token)
        pages.append(messages)
    return pages


@every_resource
async def test_page_sizes_are_50_by_default_and_1000_at_most(service: Service, case: Case) -> None:
    await case.create(service)
    await copy_rows(service, case, 1000)
    got = await sizes_got(service, case, [0, 1, 51, 999, 1000, 1001, 1_000_000, 2**31 - 1])
    assert got == {0: 50, 1: 1, 51: 51, 999: 999, 1000: 1000, 1001: 1000, 1_000_000: 1000, 2**31 - 1: 1000}


@every_resource
async def test_settings_can_make_pages_smaller(database_url: str, case: Case) -> None:
    async with running_service(database_url, Settings(page_size_default=2, page_size_maximum=3)) as service:
        created = await create_several(service, case, 5)
        assert await sizes_got(service, case, [0, 1, 3, 4, 1_000_000]) == {0: 2, 1: 1, 3: 3, 4: 3, 1_000_000: 3}
        assert await walk(service, case, 0) == [created[:2], created[2:4], created[4:]]


@every_resource
async def test_a_negative_page_size_is_refused(service: Service, case: Case) -> None:
    for size in (-1, -(2**31)):
        assert await invalid(case.page(service, page_size=size)) == ["page_size"]


@every_resource
async def test_a_negative_page_size_is_refused_with_a_page_token_too(service: Service, case: Case) -> None:
    await create_several(service, case, 2)
    _, token = await case.page(service, page_size=1)
    assert await invalid(case.page(service, page_size=-1, page_token=token)) == ["page_size"]


@every_resource
async def test_an_empty_list_has_one_empty_page(service: Service, case: Case) -> None:
    for size in (0, 1, 1000):
        assert await case.page(service, page_size=size) == ([], "")


@every_resource
async def test_the_last_page_has_an_empty_token_even_if_it_is_full(service: Service, case: Case) -> None:
    created = await create_several(service, case, 6)
    for size, lengths in {1: [1] * 6, 2: [2] * 3, 3: [3] * 2, 4: [4, 2], 6: [6], 7: [6]}.items():
        pages = await walk(service, case, size)
        assert [len(page) for page in pages] == lengths
        assert list(chain.from_iterable(pages)) == created


@every_resource
async def test_the_last_page_is_empty_if_the_remaining_resources_are_deleted(service: Service, case: Case) -> None:
    first, second = await create_several(service, case, 2)
    messages, token = await case.page(service, page_size=1)
    await case.delete(service, second.id)
    assert (messages, await case.page(service, page_token=token)) == ([first], ([], ""))


@every_resource
async def test_changes_between_pages_neither_skip_nor_repeat_unchanged_resources(service: Service, case: Case) -> None:
    shared = await references(service, case)
    ids = [message.id for message in await create_several(service, case, 30)]
    doomed = iter(ids[2::5])
    deleted: set[str] = set()
    listed: list[str] = []
    token = ""
    for size in islice(cycle([1, 2, 7]), 40):
        messages, token = await case.page(service, page_size=size, page_token=token)
        listed += [message.id for message in messages]
        assert deleted.isdisjoint(message.id for message in messages)
        if not token:
            break
        # Delete the last listed resource, where the token continues, and another one, listed or not.
        gone = {messages[-1].id, next(doomed, messages[-1].id)} - deleted
        await asyncio.gather(*(case.delete(service, identifier) for identifier in gone))
        deleted |= gone
        if len(deleted) < 20:
            await asyncio.gather(case.create(service, **shared), case.create(service, **shared))
    assert token == ""
    assert listed == sorted(set(listed))
    assert set(ids) - deleted <= set(listed)


@every_resource
async def test_the_page_size_may_change_between_pages(service: Service, case: Case) -> None:
    created = await create_several(service, case, 12)
    first, token = await case.page(service, page_size=2)
    second, token = await case.page(service, page_size=7, page_token=token)
    third, token = await case.page(service, page_size=1, page_token=token)
    rest, token = await case.page(service, page_token=token)
    assert [first, second, third, rest] == [created[:2], created[2:9], created[9:10], created[10:]]
    assert token == ""


async def test_the_largest_page_fits_into_the_message_limit_of_clients(service: Service) -> None:
    limits = {"display_name": 63, "address": 200, "address_2": 200, "city": 100, "administrative_area": 100}
    fullest = {name: "\N{GRINNING FACE}" * limit for name, limit in limits.items()}
    await create_location(service, **fullest, postal_code="\N{GRINNING FACE}" * 20)
    await copy_rows(service, LOCATION, 1000)
    messages, token = await LOCATION.page(service, page_size=1_000_000)
    assert len(messages) == 1000
    assert token
    assert sum(message.ByteSize() for message in messages) > 2_700_000
