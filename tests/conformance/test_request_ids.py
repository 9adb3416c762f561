"""Requests with a request_id are idempotent: they take effect once, for any number of attempts on any servers."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from sprocket_grpc.server import cleanup
from sprocket_grpc.telemetry.background import Background
from tests.conformance.fields import MALFORMED_IDS
from tests.conformance.promises import invalid, refusal
from tests.conformance.writes import MAKERS, Maker, change, dump, every_write, growth, send
from tests.support.books import assert_books_agree, query
from tests.support.resources import CASES, FACTORY, LOCATION, MISSING_ID, SPROCKET, SPROCKET_TYPE, Case
from tests.support.service import Service, running_service
from tests.support.waiting import until

REUSED = "ERROR_REASON_REQUEST_ID_REUSED"

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def new_id() -> str:
    return str(uuid.uuid4())


async def make_older(service: Service, interval: str) -> None:
    """Make all recorded requests older by an interval."""
    statement = "UPDATE recorded_request SET create_time = create_time - CAST(:interval AS interval)"
    await query(service, statement, interval=interval)


@every_write
async def test_a_retry_returns_the_first_response_and_changes_nothing(service: Service, make: Maker) -> None:
    write, request_id = await make(service), new_id()
    before = await dump(service)
    first = await write.send(service, request_id=request_id)
    after = await dump(service)
    assert growth(before, after) == write.growth | {"recorded_request": 1}
    assert [await write.send(service, request_id=request_id) for _ in range(2)] == [first, first]
    assert await dump(service) == after
    await assert_books_agree(service)


@every_write
async def test_twenty_concurrent_attempts_on_two_servers_take_effect_once_and_get_the_same_response(
    service: Service, database_url: str, make: Maker
) -> None:
    write, request_id = await make(service), new_id()
    before = await dump(service)
    async with running_service(database_url) as other:
        servers = islice(cycle([service, other]), 20)
        answers = await asyncio.gather(*(write.send(server, request_id=request_id) for server in servers))
    assert len(set(answers)) == 1
    assert growth(before, await dump(service)) == write.growth | {"recorded_request": 1}
    await assert_books_agree(service)


@every_resource
async def test_a_retry_returns_the_first_response_even_if_the_resource_has_changed(
    service: Service, case: Case
) -> None:
    write, request_id = await MAKERS[f"Create{case.kind}"](service), new_id()
    first = await write.send(service, request_id=request_id)
    created = getattr(write.response.FromString(first), case.name)
    await case.update(service, type(created)(id=created.id, display_name="later"))
    assert await write.send(service, request_id=request_id) == first
    await case.delete(service, created.id)
    assert await write.send(service, request_id=request_id) == first
    assert await case.page(service) == ([], "")


@every_resource
async def test_a_different_request_with_the_same_request_id_is_refused(service: Service, case: Case) -> None:
    request_id, method = new_id(), case.method(service, "Create")
    message = await case.message(service)
    await method(case.request("Create", request_id=request_id, **{case.name: message}))
    message.display_name += "x"
    before = await dump(service)
    again = method(case.request("Create", request_id=request_id, **{case.name: message}))
    assert await invalid(again, REUSED) == ["request_id"]
    assert await dump(service) == before


@every_write
async def test_a_different_method_with_the_same_request_id_is_refused(service: Service, make: Maker) -> None:
    write, request_id = await make(service), new_id()
    others = [other for other in [await maker(service) for maker in MAKERS.values()] if other.path != write.path]
    await write.send(service, request_id=request_id)
    before = await dump(service)
    calls = [invalid(other.send(service, request_id=request_id), REUSED) for other in others]
    assert await asyncio.gather(*calls) == [["request_id"]] * len(others)
    assert await dump(service) == before


async def test_a_different_method_is_refused_even_if_its_request_has_the_same_bytes(service: Service) -> None:
    fields = {"id": MISSING_ID, "allow_missing": True, "request_id": new_id()}
    first, second = LOCATION, SPROCKET_TYPE
    await first.method(service, "Delete")(first.request("Delete", **fields))
    again = second.method(service, "Delete")(second.request("Delete", **fields))
    assert await invalid(again, REUSED) == ["request_id"]


@every_write
async def test_of_two_different_concurrent_requests_with_one_request_id_one_is_refused(
    service: Service, make: Maker
) -> None:
    write, request_id = await make(service), new_id()
    other = await MAKERS["CreateLocation"](service)
    if other.path == write.path:
        other.request.location.city = "Elsewhere"
    calls = [each.send(service, request_id=request_id) for each in (write, other)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    (failed,) = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT


@every_write
async def test_a_request_id_that_is_not_a_uuid_is_refused_and_nothing_changes(service: Service, make: Maker) -> None:
    write = await make(service)
    before = await dump(service)
    malformed = [text for text in MALFORMED_IDS.values() if text]  # an empty request_id means no request_id
    calls = [invalid(write.send(service, request_id=text)) for text in malformed]
    assert await asyncio.gather(*calls) == [["request_id"]] * len(malformed)
    assert await dump(service) == before


@every_resource
async def test_an_invalid_request_id_is_reported_together_with_other_invalid_fields(
    service: Service, case: Case
) -> None:
    message = await case.message(service, display_name="x" * 64)
    create = case.request("Create", request_id="5", **{case.name: message})
    assert await invalid(case.method(service, "Create")(create)) == [f"{case.name}.display_name", "request_id"]
    delete = case.request("Delete", request_id="5", id="6", etag="7")
    assert await invalid(case.method(service, "Delete")(delete)) == ["id", "etag", "request_id"]


@every_resource
async def test_a_failed_request_can_be_retried_with_its_request_id(service: Service, case: Case) -> None:
    """The same request, byte for byte, fails while its resource is missing, and succeeds once it exists."""
    message = await case.message(service)
    message.id = new_id()
    put = case.request("Update", allow_missing=True, **{case.name: message})
    fields: list[dict[str, Any]] = [{case.name: message}, {"id": message.id}]
    for verb, content in zip(("Update", "Delete"), fields, strict=True):
        request = case.request(verb, request_id=new_id(), **content)
        missed = case.method(service, verb)(request)
        await refusal(missed, grpc.StatusCode.NOT_FOUND, "ERROR_REASON_RESOURCE_NOT_FOUND")
        await case.method(service, "Update")(put)
        await case.method(service, verb)(request)
        if verb == "Update":
            await case.delete(service, message.id)
    assert await case.page(service) == ([], "")


@pytest.mark.parametrize("name", ["CreateSprocket", "BatchCreateSprockets"])
async def test_a_failed_create_can_be_retried_once_its_factory_exists(service: Service, name: str) -> None:
    write, request_id = await MAKERS[name](service), new_id()
    sprockets = [write.request.sprocket] if name == "CreateSprocket" else write.request.sprockets
    factory = await FACTORY.get(service, sprockets[0].factory_id)
    await FACTORY.delete(service, factory.id)
    missed = write.send(service, request_id=request_id)
    await refusal(missed, grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_REFERENCE_NOT_FOUND")
    factory.ClearField("etag")
    await FACTORY.method(service, "Update")(FACTORY.request("Update", factory=factory, allow_missing=True))
    first = await write.send(service, request_id=request_id)
    assert await write.send(service, request_id=request_id) == first
    assert len((await SPROCKET.page(service))[0]) == len(sprockets)


@every_resource
async def test_a_request_id_expires_after_24_hours(service: Service, case: Case) -> None:
    write, request_id = await MAKERS[f"Create{case.kind}"](service), new_id()
    first = await write.send(service, request_id=request_id)
    await make_older(service, "23 hours 59 minutes")
    assert await write.send(service, request_id=request_id) == first
    await make_older(service, "2 minutes")
    second = await write.send(service, request_id=request_id)
    assert second != first
    assert await write.send(service, request_id=request_id) == second
    assert len((await case.page(service))[0]) == 2


async def test_a_different_request_may_use_an_expired_request_id(service: Service) -> None:
    request_id = new_id()
    await (await MAKERS["CreateLocation"](service)).send(service, request_id=request_id)
    await make_older(service, "24 hours 1 minute")
    update = await change(SPROCKET_TYPE)(service)
    first = await update.send(service, request_id=request_id)
    assert await update.send(service, request_id=request_id) == first


@every_write
async def test_a_dry_run_does_not_record_its_request_id(service: Service, make: Maker) -> None:
    write, request_id = await make(service), new_id()
    before = await dump(service)
    await write.send(service, request_id=request_id, validate_only=True)
    assert await dump(service) == before
    await write.send(service, request_id=request_id)
    assert growth(before, await dump(service)) == write.growth | {"recorded_request": 1}


@asynccontextmanager
async def purging(service: Service) -> AsyncIterator[None]:
    """Run the purge of expired requests in the background, every 5 ms."""
    task = asyncio.create_task(Background().keep(cleanup.purging(service.database, 24, 0.005)))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def recorded(service: Service) -> int:
    """Count the recorded requests."""
    return len(await query(service, "SELECT FROM recorded_request"))


async def test_only_expired_requests_are_purged_in_the_background(service: Service) -> None:
    location, request_id = await MAKERS["CreateLocation"](service), new_id()
    await query(
        service,
        """
        INSERT INTO recorded_request (id, create_time, fingerprint, response)
        SELECT gen_random_uuid(), now() - interval '25 hours', '', '' FROM generate_series(1, 2500)
        """,
    )
    first = await send(
        service, location.path, type(location.request)(request_id=request_id, location=location.request.location)
    )
    await make_older(service, "0 hours")

    async def one_is_left() -> bool:
        return await recorded(service) <= 1

    async with purging(service):
        await until(one_is_left)
        await make_older(service, "23 hours")
        await asyncio.sleep(0.05)  # a few more purges
    assert await location.send(service, request_id=request_id) == first


async def test_a_failed_purge_is_logged_and_retried(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = text("SELECT 1 / 0")
    monkeypatch.setattr("sprocket_grpc.storage.idempotency.purge", lambda connection, _: connection.execute(failing))
    async with purging(service):
        await until(lambda: caplog.text.count("cannot purge expired requests") >= 2)
