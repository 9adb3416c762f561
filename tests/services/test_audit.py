"""The audit log: every write adds exactly its entries, with the right caller, and other calls add none."""

import asyncio
import uuid
from collections import Counter
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket.v1.factory_pb2 import DeleteFactoryRequest, Factory, UpdateFactoryRequest
from sprocket.v1.location_pb2 import CreateLocationRequest, DeleteLocationRequest, Location, UpdateLocationRequest
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket.v1.sprocket_type_pb2 import DeleteSprocketTypeRequest
from sprocket_grpc.config.settings import Settings
from tests.conformance.rpcs import METHODS
from tests.conformance.writes import MAKERS, Maker, dump, every_write
from tests.support.auditing import as_logged, call_as, entries, states, summary
from tests.support.books import query
from tests.support.resources import (
    CASES,
    MISSING_ID,
    Case,
    create_factory,
    create_location,
    create_sprocket,
    create_sprocket_type,
    location,
)
from tests.support.service import Service, running_service

CREATE, UPDATE = "/sprocket.v1.LocationService/CreateLocation", "/sprocket.v1.LocationService/UpdateLocation"
FACTORY, SPROCKET = CASES[2], CASES[3]
VERBS = {"Create": "created", "Update": "updated", "Delete": "deleted"}

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


# Calls that add entries.


def test_these_tests_cover_every_rpc_that_writes() -> None:
    writing = [each for each in METHODS if each.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS]
    assert sorted(MAKERS) == sorted(method.name for method in writing)


@every_write
async def test_every_write_adds_an_entry_for_each_resource_with_its_caller(service: Service, make: Maker) -> None:
    write = await make(service)
    before = await entries(service)
    await call_as(service, "this one", write.path, write.request)
    left = (await entries(service))[: -len(before) or None]
    assert {(each.principal, each.request_id, each.method) for each in left} == {("anonymous", "this one", write.path)}
    [verb] = [verb for name, verb in VERBS.items() if name in write.path]
    kind = write.path.split("/")[1].removeprefix("sprocket.v1.").removesuffix("Service")
    assert [summary(each) for each in left] == [(verb, kind)] * write.growth["audit_entry"]


@each_case
async def test_an_entry_has_all_fields_of_the_resource_before_and_after(service: Service, case: Case) -> None:
    created = await case.create(service)
    updated = await case.update(service, type(created)(id=created.id, display_name='ä"\n🏭'))
    await case.delete(service, created.id)
    log = await entries(service, f"resource_id = {created.id}")
    assert [states(each) for each in log] == [
        (as_logged(updated), None),
        (as_logged(created), as_logged(updated)),
        (None, as_logged(created)),
    ]
    assert [each.resource_type for each in log] == [f"sprocket.v1.{case.kind}"] * 3


async def test_numbers_are_logged_exactly(service: Service) -> None:
    factory = await create_factory(service, sprocket_production_goal=2**63 - 1)
    measures = {"pitch_mm": 5e-324, "pitch_diameter_mm": 1.7976931348623157e308, "outside_diameter_mm": 0.1 + 0.2}
    kind = await create_sprocket_type(service, **measures)
    [entry] = await entries(service, f"resource_id = {factory.id}")
    assert entry.after["sprocket_production_goal"] == "9223372036854775807"
    [entry] = await entries(service, f"resource_id = {kind.id}")
    assert {name: entry.after[name] for name in measures} == measures


async def test_moving_a_sprocket_adds_an_entry_for_the_sprocket_only(service: Service) -> None:
    sprocket, other = await create_sprocket(service), await create_factory(service)
    count = len(await entries(service))
    await SPROCKET.update(service, Sprocket(id=sprocket.id, factory_id=other.id))
    entry, *earlier = await entries(service)
    assert len(earlier) == count
    assert (entry.before["factory_id"], entry.after["factory_id"]) == (sprocket.factory_id, other.id)


@pytest.mark.parametrize(
    ("service_name", "method", "expected"),
    [
        ("locations", "DeleteLocation", {"Location": 1, "Factory": 1, "Sprocket": 2}),
        ("factories", "DeleteFactory", {"Factory": 1, "Sprocket": 2}),
        ("sprocket_types", "DeleteSprocketType", {"SprocketType": 1, "Sprocket": 2}),
    ],
)
async def test_a_delete_with_force_adds_an_entry_for_every_deleted_resource(
    service: Service, service_name: str, method: str, expected: dict[str, int]
) -> None:
    factory, kind = await create_factory(service), await create_sprocket_type(service)
    for _ in range(2):
        await create_sprocket(service, factory_id=factory.id, sprocket_type_id=kind.id)
    request: Any = {
        "locations": DeleteLocationRequest(id=factory.location_id, force=True),
        "factories": DeleteFactoryRequest(id=factory.id, force=True),
        "sprocket_types": DeleteSprocketTypeRequest(id=kind.id, force=True),
    }[service_name]
    earlier = len(await entries(service))
    await getattr(getattr(service, service_name), method)(request)
    left = (await entries(service))[:-earlier]
    assert len({each.request_id for each in left}) == 1
    assert Counter(map(summary, left)) == {("deleted", kind): number for kind, number in expected.items()}


async def test_a_change_by_sql_is_logged_with_its_role_and_found_in_any_time_zone(service: Service) -> None:
    made = await create_factory(service)
    await query(service, "SET TIME ZONE 'Asia/Kathmandu'")
    await query(service, "UPDATE factory SET display_name = 'by hand'")  # does not set update_time
    [entry, creation] = await entries(service, f"resource_id = {made.id}")
    assert states(entry) == (as_logged(made), as_logged(made) | {"display_name": "by hand"})
    [(role,)] = await query(service, "SELECT session_user::text")
    assert (entry.principal, entry.request_id, entry.method) == (f"database:{role}", "", "")
    assert creation.principal == "anonymous"


# Calls that add no entries.


async def test_counting_sprockets_adds_no_entries_for_factories(service: Service) -> None:
    sprocket = await create_sprocket(service)
    await SPROCKET.delete(service, sprocket.id)
    log = await entries(service, f"resource_id = {sprocket.factory_id}")
    assert [summary(each) for each in log] == [("created", "Factory")]


@every_write
async def test_a_dry_run_adds_no_entry(service: Service, make: Maker) -> None:
    write = await make(service)
    before = await dump(service)
    await write.send(service, validate_only=True)
    assert await dump(service) == before


@every_write
async def test_a_retry_adds_no_second_entry(service: Service, make: Maker) -> None:
    write, request_id = await make(service), str(uuid.uuid4())
    await write.send(service, request_id=request_id)
    once = await entries(service)
    await write.send(service, request_id=request_id)
    assert await entries(service) == once


async def test_refused_and_rolled_back_writes_add_no_entry(service: Service) -> None:
    made = await create_factory(service)
    before = await entries(service)
    stale = Factory(id=made.id, etag='"stale"', display_name="x")
    missing = Location(id=MISSING_ID, display_name="x")
    for call in (
        service.locations.DeleteLocation(DeleteLocationRequest(id=made.location_id)),  # in use
        service.locations.UpdateLocation(UpdateLocationRequest(location=missing)),
        service.locations.CreateLocation(CreateLocationRequest(location=location(city=""))),
        service.factories.UpdateFactory(UpdateFactoryRequest(factory=stale)),
        create_factory(service, location_id=MISSING_ID),
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert await entries(service) == before


async def test_an_update_without_changes_adds_no_entry(service: Service) -> None:
    made = await create_location(service)
    await CASES[0].update(service, Location(id=made.id))
    assert len(await entries(service)) == 1


# Callers.


async def test_concurrent_callers_on_few_connections_are_logged_correctly(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=2)) as service:
        made = await create_location(service)

        async def write(number: int) -> None:
            name = f"caller {number}"
            request = CreateLocationRequest(location=location(display_name=name))
            await call_as(service, name, CREATE, request)
            changed = UpdateLocationRequest(location=Location(id=made.id, display_name=name))
            await call_as(service, name, UPDATE, changed)

        await asyncio.gather(*map(write, range(50)))
        for _ in range(2):
            await query(service, "UPDATE location SET city = 'Shelbyville' || random()")
        log = await entries(service, 'principal = "anonymous" AND request_id = "caller*"')
        by_hand = await entries(service, 'principal = "database:*"')
    assert len(log) == 100
    assert all(each.after["display_name"] == each.request_id for each in log)
    assert Counter(each.method for each in log) == {CREATE: 50, UPDATE: 50}
    assert len(by_hand) == 2 * 51
    assert {(each.request_id, each.method) for each in by_hand} == {("", "")}


async def test_the_caller_setting_ends_with_the_transaction(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        made = await create_location(service)
        await CASES[0].update(service, Location(id=made.id, display_name="other"))
        setting = await query(service, "SELECT coalesce(current_setting('sprocket.caller', true), '')")
    assert setting == [("",)]
