"""Creates: the server sets ids, times and etags, and returns what it stored."""

import re
import time
from itertools import pairwise

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conformance.fields import MEGABYTE, output_only
from tests.conformance.messages import without
from tests.conformance.rows import create_several, references
from tests.support.resources import CASES, FACTORY, MISSING_ID, Case, create_sprocket
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]+"')


def unix_milliseconds(identifier: str) -> int:
    """Return the timestamp in a UUIDv7."""
    return int(identifier.replace("-", "")[:12], 16)


@every_resource
async def test_get_and_list_return_the_created_resource(service: Service, case: Case) -> None:
    created = await case.create(service)
    assert await case.get(service, created.id) == created
    assert await case.page(service) == ([created], "")


@every_resource
async def test_ids_are_uuids_of_version_7_that_increase(service: Service, case: Case) -> None:
    shared = await references(service, case)
    before = time.time_ns() // 1_000_000
    ids = [(await case.create(service, **shared)).id for _ in range(10)]
    after = time.time_ns() // 1_000_000
    assert all(UUID7.fullmatch(identifier) for identifier in ids)
    assert all(earlier < later for earlier, later in pairwise(ids))
    assert before <= unix_milliseconds(ids[0]) <= unix_milliseconds(ids[-1]) <= after
    made_at_once = await create_several(service, case, 30)
    assert len({*ids, *(message.id for message in made_at_once)}) == 40


@every_resource
async def test_both_times_of_a_new_resource_are_the_time_of_creation_in_microseconds(
    service: Service, case: Case
) -> None:
    shared = await references(service, case)
    before = time.time_ns() // 1000
    created = await case.create(service, **shared)
    after = time.time_ns() // 1000
    assert before <= created.create_time.ToMicroseconds() <= after
    assert created.update_time == created.create_time
    assert created.create_time.nanos % 1000 == 0


@every_resource
async def test_every_update_changes_the_update_time_and_the_etag_but_not_the_create_time(
    service: Service, case: Case
) -> None:
    states = [await case.create(service)]
    for number in range(20):
        states.append(await case.update(service, type(states[0])(id=states[0].id, display_name=f"number {number}")))
    assert await case.get(service, states[0].id) == states[-1]
    assert len({state.etag for state in states if STRONG_ETAG.fullmatch(state.etag)}) == 21
    times = [state.update_time.ToMicroseconds() for state in states]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] <= time.time_ns() // 1000
    assert {state.create_time.ToMicroseconds() for state in states} == {times[0]}


@every_resource
async def test_create_ignores_output_only_fields(service: Service, case: Case) -> None:
    sent = {"id": MISSING_ID} | output_only(case.name)
    created = await case.create(service, **sent)
    stored = await case.get(service, created.id)
    assert stored == created
    kept = [name for name, value in sent.items() if getattr(stored, name) == value]
    assert kept == []


@every_resource
async def test_update_ignores_output_only_fields(service: Service, case: Case) -> None:
    created = await case.create(service)
    outputs = output_only(case.name)
    del outputs["etag"]  # which must be current or empty
    sent = type(created)(**outputs)
    sent.MergeFrom(without(created, [*outputs, "etag"]))
    for mask in (None, ["*"], ["display_name", "id", "etag", *outputs]):
        sent.display_name = "other" if mask is None else mask[0]
        updated = await case.update(service, sent, mask)
        assert updated.display_name == sent.display_name
        assert updated.create_time == created.create_time
        assert [name for name, value in outputs.items() if getattr(updated, name) == value] == []


@every_resource
async def test_output_only_fields_of_a_request_may_have_any_value(service: Service, case: Case) -> None:
    created = await case.create(service, id="none", etag=MEGABYTE, create_time=Timestamp(seconds=-1, nanos=-1))
    created.ClearField("etag")
    created.update_time.FromJsonString("0001-01-01T00:00:00Z")
    assert (await case.update(service, created)).id == created.id


async def test_clients_cannot_set_the_actual_production(service: Service) -> None:
    factory_id = (await create_sprocket(service)).factory_id
    stored = await FACTORY.get(service, factory_id)
    stored.ClearField("etag")
    stored.sprocket_production_actual = 77
    for paths in (None, ["*"], ["sprocket_production_actual"]):
        assert (await FACTORY.update(service, stored, paths)).sprocket_production_actual == 1
    stored.ClearField("sprocket_production_actual")
    assert (await FACTORY.update(service, stored, ["sprocket_production_actual"])).sprocket_production_actual == 1
