"""Etags: updates and deletes with a stale etag are aborted."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.conformance.promises import invalid, refusal, refuses
from tests.support.production import get_factory
from tests.support.resources import (
    CASES,
    FACTORY,
    SPROCKET,
    Case,
    create_factory,
    create_sprocket,
    create_sprocket_type,
)
from tests.support.service import Service

ABORTED = grpc.StatusCode.ABORTED
MISMATCH = "ERROR_REASON_ETAG_MISMATCH"

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
MALFORMED = ["5", "*", '"', '"5', '5"', 'W/"5"', 'w/"5"', ' "5"', '"5" ', '"5"\n', '"5","6"', '"5"6"', '"\0"', "'5'"]


async def stale(service: Service, case: Case) -> Any:
    """Create and update a resource, and return it as it was before the update."""
    created = await case.create(service)
    await case.update(service, renamed(created), ["display_name"])
    return created


def renamed(message: Any) -> Any:
    """Return a copy of a resource, including the etag, with another name."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.display_name = f"{message.display_name}x"
    return copy


async def delete(service: Service, case: Case, **fields: Any) -> None:
    await case.method(service, "Delete")(case.request("Delete", **fields))


@every_resource
async def test_a_stale_etag_aborts_an_update_and_nothing_changes(service: Service, case: Case) -> None:
    old = await stale(service, case)
    present = await case.get(service, old.id)
    for paths in ([], ["display_name"], ["*"]):
        with refuses(ABORTED, MISMATCH) as failure:
            await case.update(service, renamed(renamed(old)), paths)
        assert failure.info.metadata == {"resource_type": f"sprocket.v1.{case.kind}", "id": old.id}
    assert await case.get(service, old.id) == present


@every_resource
async def test_a_stale_etag_aborts_an_update_that_would_change_nothing(service: Service, case: Case) -> None:
    old = await stale(service, case)
    unchanged = type(old)(id=old.id, etag=old.etag)
    with refuses(ABORTED, MISMATCH):
        await case.update(service, unchanged)


@every_resource
async def test_a_stale_etag_aborts_a_delete_with_and_without_force(service: Service, case: Case) -> None:
    old = await stale(service, case)
    for more in [{}, {"allow_missing": True}] + [{"force": True}] * case.has_force:
        with refuses(ABORTED, MISMATCH) as failure:
            await delete(service, case, id=old.id, etag=old.etag, **more)
        assert failure.info.metadata == {"resource_type": f"sprocket.v1.{case.kind}", "id": old.id}
    assert (await case.get(service, old.id)).display_name == renamed(old).display_name


@every_resource
async def test_update_and_delete_succeed_with_the_current_etag(service: Service, case: Case) -> None:
    created = await case.create(service)
    updated = await case.update(service, renamed(created))
    assert updated.display_name == renamed(created).display_name
    assert updated.etag != created.etag
    assert await case.get(service, created.id) == updated
    await delete(service, case, id=created.id, etag=updated.etag)
    assert await case.page(service) == ([], "")


@every_resource
async def test_update_and_delete_without_an_etag_succeed_for_any_state(service: Service, case: Case) -> None:
    old = renamed(await stale(service, case))
    old.ClearField("etag")
    assert (await case.update(service, old)).display_name == old.display_name
    await delete(service, case, id=old.id)
    assert await case.page(service) == ([], "")


@every_resource
async def test_of_two_concurrent_updates_with_the_same_etag_exactly_one_succeeds(service: Service, case: Case) -> None:
    for _ in range(5):
        created = await case.create(service)
        first, second = renamed(created), renamed(renamed(created))
        outcomes = await outcomes_of(case.update(service, first), case.update(service, second))
        assert sorted(outcomes) == ["ABORTED", "OK"]
        winner = (first, second)[outcomes.index("OK")]
        assert (await case.get(service, created.id)).display_name == winner.display_name


@every_resource
async def test_an_update_concurrent_with_a_delete_never_recreates_the_resource(service: Service, case: Case) -> None:
    for _ in range(5):
        created = await case.create(service)
        deletion = delete(service, case, id=created.id, etag=created.etag)
        outcomes = await outcomes_of(case.update(service, renamed(created)), deletion)
        # The second call finds another etag, or no resource.
        assert outcomes in (["OK", "ABORTED"], ["NOT_FOUND", "OK"])
        left = await case.method(service, "List")(case.request("List", filter=f"id = {created.id}"))
        assert len(getattr(left, case.plural)) == (outcomes[0] == "OK")


async def outcomes_of(*calls: Any) -> list[str]:
    """Make concurrent calls, and return the status of each."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [it.code().name if isinstance(it, grpc.aio.AioRpcError) else "OK" for it in results]


@every_resource
async def test_each_of_many_concurrent_updates_gets_a_distinct_etag(service: Service, case: Case) -> None:
    created = await case.create(service)
    messages = [type(created)(id=created.id, display_name=f"n{number}") for number in range(20)]
    changed = await asyncio.gather(*(case.update(service, message) for message in messages))
    assert len({message.etag for message in (created, *changed)}) == 21


@every_resource
async def test_an_etag_is_strong_and_quoted(service: Service, case: Case) -> None:
    created = await case.create(service)
    assert created.etag[0] == created.etag[-1] == '"'
    assert len(created.etag) > 2
    assert created.etag.count('"') == 2
    assert (await case.get(service, created.id)).etag == created.etag


@every_resource
async def test_a_malformed_etag_is_refused_and_its_path_is_named(service: Service, case: Case) -> None:
    created = await case.create(service)
    messages = [type(created)(id=created.id, etag=etag, display_name="x") for etag in MALFORMED]
    updates = [invalid(case.update(service, message)) for message in messages]
    deletions = [invalid(delete(service, case, id=created.id, etag=etag)) for etag in MALFORMED]
    assert await asyncio.gather(*updates) == [[f"{case.name}.etag"]] * len(MALFORMED)
    assert await asyncio.gather(*deletions) == [["etag"]] * len(MALFORMED)
    assert await case.get(service, created.id) == created


@every_resource
async def test_the_etag_of_another_resource_is_refused(service: Service, case: Case) -> None:
    one, other = [await case.create(service) for _ in range(2)]
    await refusal(delete(service, case, id=one.id, etag=other.etag), ABORTED, MISMATCH)


@every_resource
async def test_the_etag_from_before_a_delete_is_refused_after_the_resource_is_created_again(
    service: Service, case: Case
) -> None:
    created = await case.create(service)
    again = type(created)()
    again.CopyFrom(created)
    again.ClearField("etag")
    await case.delete(service, created.id)
    await case.method(service, "Update")(case.request("Update", allow_missing=True, **{case.name: again}))
    await refusal(case.update(service, renamed(created)), ABORTED, MISMATCH)
    await refusal(delete(service, case, id=created.id, etag=created.etag), ABORTED, MISMATCH)


async def test_creating_and_deleting_sprockets_does_not_change_the_etag_of_their_factory(service: Service) -> None:
    factory, kind = await create_factory(service), await create_sprocket_type(service)
    made = [await create_sprocket(service, factory_id=factory.id, sprocket_type_id=kind.id) for _ in range(2)]
    await SPROCKET.delete(service, made[0].id)
    busy = await get_factory(service, factory.id)
    assert (busy.sprocket_production_actual, busy.etag) == (1, factory.etag)
    assert busy.update_time == factory.update_time
    assert (await FACTORY.update(service, renamed(factory))).display_name == renamed(factory).display_name
