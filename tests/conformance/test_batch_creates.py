"""Every resource can be created in batches, which are atomic, keep their order, and need few SQL statements."""

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from itertools import cycle, islice
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import PreconditionFailure

from tests.conformance.fields import EMOJI, fields_of, output_only
from tests.conformance.messages import without
from tests.conformance.promises import REFERENCE_NOT_FOUND, invalid, refusal
from tests.conformance.rows import references
from tests.conformance.writes import dump
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import CASES, FACTORY, LOCATION, MISSING_ID, REFERENCES, Case, Reference, references_of
from tests.support.service import Service
from tests.support.statements import statements_of

MOST_STATEMENTS = 10

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_reference = pytest.mark.parametrize("reference", REFERENCES, ids=lambda it: f"{it.case.name}.{it.field}")


async def several(service: Service, case: Case, count: int) -> list[Any]:
    """Make numbered messages, which are valid and refer to the same resources."""
    shared = await references(service, case)
    return [await case.message(service, display_name=str(number), **shared) for number in range(count)]


async def create(service: Service, case: Case, messages: Sequence[Any], **fields: Any) -> list[Any]:
    """Create resources in one call."""
    request = case.request("BatchCreate", **{case.plural: messages}, **fields)
    return list(getattr(await case.method(service, "BatchCreate")(request), case.plural))


def sent(case: Case, created: Any) -> Any:
    """Return what a client sent to create a resource."""
    return without(created, ["id", *output_only(case.name)])


@every_resource
async def test_a_batch_may_contain_one_resource(service: Service, case: Case) -> None:
    [created] = await create(service, case, await several(service, case, 1))
    assert await case.get(service, created.id) == created
    await assert_books_agree(service)


@every_resource
async def test_a_batch_of_a_thousand_keeps_its_order_and_needs_few_statements(service: Service, case: Case) -> None:
    messages = await several(service, case, 1000)
    with statements_of(service.database) as statements:
        created = await create(service, case, messages)
    assert 0 < len(statements) <= MOST_STATEMENTS
    assert [sent(case, each) for each in created] == messages
    read = await case.method(service, "BatchGet")(case.request("BatchGet", ids=[each.id for each in created]))
    assert list(getattr(read, case.plural)) == created
    await assert_books_agree(service)


@every_resource
async def test_every_valid_value_is_stored_by_a_batch_as_it_was_sent(service: Service, case: Case) -> None:
    shared = await references(service, case)
    values = [{field.name: value} for field in fields_of(case.name) for value in field.valid.values()]
    messages = [await case.message(service, **shared | each) for each in values]
    created = await create(service, case, messages)
    assert [sent(case, each) for each in created] == messages
    assert [await case.get(service, each.id) for each in created] == created


# Texts with a meaning in PostgreSQL's array syntax: quotes, backslashes, braces, commas and NULL.
NAMES = ['"', "\\", '\\"', "{", "}", "{a,b}", ",", "NULL", "null", " a b ", "\ta", "a\n", "'", "$1", "%s", "é", "日本"]


@every_resource
async def test_names_in_a_batch_may_contain_the_syntax_of_arrays(service: Service, case: Case) -> None:
    messages = await several(service, case, len(NAMES))
    for message, name in zip(messages, NAMES, strict=True):
        message.display_name = name
    assert [each.display_name for each in await create(service, case, messages)] == NAMES


@every_resource
async def test_output_only_fields_of_a_batch_are_ignored(service: Service, case: Case) -> None:
    outputs = {"id": MISSING_ID} | output_only(case.name)
    [created] = await create(service, case, [await case.message(service, **outputs)])
    assert [name for name, value in outputs.items() if getattr(created, name) == value] == []


async def test_the_chart_of_each_factory_of_a_batch_starts_with_its_goal(service: Service) -> None:
    messages = await several(service, FACTORY, 3)
    for message, goal in zip(messages, [0, 7, 2**63 - 1], strict=True):
        message.sprocket_production_goal = goal
    created = await create(service, FACTORY, messages)
    assert [await numbers_of(service, each.id) for each in created] == [[(0, 0)], [(7, 0)], [(2**63 - 1, 0)]]
    await assert_books_agree(service)


# Refusals.


@every_resource
async def test_an_empty_or_too_large_batch_is_refused(service: Service, case: Case) -> None:
    [message] = await several(service, case, 1)
    before = await dump(service)
    for messages in ([], [message] * 1001):
        assert await invalid(create(service, case, messages)) == [case.plural]
    assert await invalid(create(service, case, [], request_id="5")) == [case.plural, "request_id"]
    assert await dump(service) == before


@every_resource
async def test_all_invalid_fields_of_a_batch_are_named_by_index_and_nothing_is_created(
    service: Service, case: Case
) -> None:
    messages = await several(service, case, 4)
    messages[1].display_name = "x" * 64
    messages[3] = type(messages[0])()
    before = await dump(service)
    empty = [field.name for field in fields_of(case.name) if not field.rule(getattr(messages[3], field.name))]
    paths = [f"{case.plural}[1].display_name", *(f"{case.plural}[3].{name}" for name in empty), "request_id"]
    assert await invalid(create(service, case, messages, request_id="6")) == paths
    assert await dump(service) == before


@every_reference
async def test_all_missing_references_of_a_batch_are_named_by_index_and_nothing_is_created(
    service: Service, reference: Reference
) -> None:
    case, field, target = reference
    messages = await several(service, case, 4)
    gone = (await target.create(service)).id
    await target.delete(service, gone)
    setattr(messages[1], field, MISSING_ID)
    setattr(messages[3], field, gone)
    before = await dump(service)
    failure = await refusal(create(service, case, messages), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
    subjects = [each.subject for each in failure.detail(PreconditionFailure).violations]
    assert subjects == [f"{case.plural}[1].{field}", f"{case.plural}[3].{field}"]
    assert failure.info.metadata["fields"].split(",") == subjects
    assert await dump(service) == before


@every_resource
async def test_the_errors_of_a_thousand_invalid_items_fit_into_the_trailers(service: Service, case: Case) -> None:
    """`invalid` and `refusal` check the size of the trailers."""
    before = await dump(service)
    texts = {field.name: "\0" + EMOJI for field in case.descriptor.fields if field.type == field.TYPE_STRING}
    malformed = getattr(case.pb, case.kind)(**texts | {"display_name": "\0" * 300})
    assert (await invalid(create(service, case, [malformed] * 1000)))[0].startswith(f"{case.plural}[0].")
    if links := [each.field for each in references_of(case)]:
        valid = await case.message(service)
        unknown = [_with(valid, {link: str(uuid.uuid4()) for link in links}) for _ in range(1000)]
        before = await dump(service)
        await refusal(create(service, case, unknown), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
    assert await dump(service) == before


def _with(message: Any, values: dict[str, Any]) -> Any:
    copy = without(message, [])
    for name, value in values.items():
        setattr(copy, name, value)
    return copy


# Concurrent changes.


async def ending(call: Awaitable[object]) -> str:
    """Return the status of a call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def at_locations(service: Service, locations: Sequence[str], count: int) -> list[Any]:
    """Make factories at each of the locations in turn."""
    return [await FACTORY.message(service, location_id=each) for each in islice(cycle(locations), count)]


@pytest.mark.parametrize("force", [False, True])
async def test_batches_of_factories_and_deletes_of_their_locations_do_not_deadlock(
    service: Service, *, force: bool
) -> None:
    locations = [(await LOCATION.create(service)).id for _ in range(6)]
    there, back = await at_locations(service, locations, 30), await at_locations(service, locations[::-1], 30)
    batches = [ending(create(service, FACTORY, each)) for each in [there, back] * 5]
    remove = LOCATION.method(service, "Delete")
    deletes = [ending(remove(LOCATION.request("Delete", id=each, force=force))) for each in locations[:2]]
    created, deleted = await asyncio.gather(asyncio.gather(*batches), asyncio.gather(*deletes))
    assert set(created) <= {"OK", "FAILED_PRECONDITION"}
    assert set(deleted) <= {"OK", "FAILED_PRECONDITION", *(["ABORTED"] if force else [])}
    strays = await query(service, "SELECT FROM factory WHERE location_id NOT IN (SELECT id FROM location)")
    assert strays == []
    await assert_books_agree(service)


async def test_a_batch_that_waits_while_a_location_is_deleted_is_refused_and_creates_nothing(
    service: Service, database_url: str
) -> None:
    locations = [(await LOCATION.create(service)).id for _ in range(2)]
    messages = await at_locations(service, locations, 4)
    delete = "DELETE FROM location WHERE id = CAST(:id AS uuid)"
    async with open_transaction(database_url, delete, id=locations[1]) as deleting:
        creating = asyncio.ensure_future(
            refusal(create(service, FACTORY, messages), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
        )
        await waiting_for(deleting)
        await deleting.commit()
        failure = await creating
    assert failure.info.metadata["fields"] == "factories[1].location_id,factories[3].location_id"
    assert await FACTORY.page(service) == ([], "")
