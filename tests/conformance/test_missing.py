"""Get, update and delete of missing resources, and with malformed ids."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import ResourceInfo

from tests.conformance.fields import MALFORMED_IDS
from tests.conformance.promises import RESOURCE_NOT_FOUND, invalid, refuses
from tests.support.books import read_chart
from tests.support.errors import Failure
from tests.support.resources import CASES, MISSING_ID, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

VERBS = {"Get": "id", "Update": "{}.id", "Delete": "id"}
"""The verbs with an id, and the path of the id in the request."""

OTHER_UUIDS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
OTHER_UUIDS += ["9b2f5c1e-3c7d-4f7a-9d50-6a1f0e2b8c47"]  # version 4


def assert_names(failure: Failure, kind: str, identifier: str) -> None:
    """Check that an error names the missing resource."""
    resource = failure.detail(ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == (f"sprocket.v1.{kind}", identifier)
    assert dict(failure.info.metadata) == {"resource_type": f"sprocket.v1.{kind}", "id": identifier}
    assert identifier in failure.message


async def act(service: Service, case: Case, verb: str, identifier: str) -> None:
    """Get, update or delete the resource with an id."""
    if verb == "Update":
        message = await case.message(service)
        message.id = identifier
        await case.update(service, message)
    else:
        await case.method(service, verb)(case.request(verb, id=identifier))


@every_resource
async def test_get_update_and_delete_of_a_missing_resource_are_not_found(service: Service, case: Case) -> None:
    deleted = (await case.create(service)).id
    await case.delete(service, deleted)
    for verb in VERBS:
        for identifier in [MISSING_ID, deleted, *OTHER_UUIDS]:
            with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
                await act(service, case, verb, identifier)
            assert_names(failure, case.kind, identifier)
    assert await case.page(service) == ([], "")


@every_resource
async def test_an_update_without_changes_of_a_missing_resource_is_not_found(service: Service, case: Case) -> None:
    message = getattr(case.pb, case.kind)(id=MISSING_ID)
    for paths in (None, ["etag"]):
        with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
            await case.update(service, message, paths)
        assert_names(failure, case.kind, MISSING_ID)


@every_resource
async def test_the_id_of_another_resource_type_is_not_found(service: Service, case: Case) -> None:
    other = (await CASES[CASES.index(case) - 1].create(service)).id
    with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
        await case.get(service, other)
    assert_names(failure, case.kind, other)


@every_resource
async def test_get_update_and_delete_refuse_a_malformed_id_and_name_its_path(service: Service, case: Case) -> None:
    for verb, path in VERBS.items():
        calls = (invalid(act(service, case, verb, identifier)) for identifier in MALFORMED_IDS.values())
        refused = dict(zip(MALFORMED_IDS, await asyncio.gather(*calls), strict=True))
        assert refused == {label: [path.format(case.name)] for label in MALFORMED_IDS}, verb


async def test_the_chart_of_a_missing_factory_is_not_found(service: Service) -> None:
    with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
        await read_chart(service, MISSING_ID)
    assert_names(failure, "Factory", MISSING_ID)


async def test_a_malformed_factory_id_of_a_chart_is_refused_and_its_path_is_named(service: Service) -> None:
    calls = (invalid(read_chart(service, identifier)) for identifier in MALFORMED_IDS.values())
    refused = dict(zip(MALFORMED_IDS, await asyncio.gather(*calls), strict=True))
    assert refused == {label: ["factory_id"] for label in MALFORMED_IDS}
