"""docs/api.md: its examples do on the sample data what the page says."""

import json
import re
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import RequestInfo

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.contract import commented_files, read_comments
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.conformance.rpcs import METHODS, call, path
from tests.support.errors import fails
from tests.support.resources import CASES, references_of
from tests.support.service import Service
from tools.api_examples import OTHER_ID, SAMPLE_IDS, Examples
from tools.api_rules import RULES

FILES = list(commented_files().values())
EXAMPLES = Examples(FILES, read_comments(FILES))
PROTOS = {
    f"/sprocket.v1.{service.name}/{method.name}": method
    for file in FILES
    for service in file.service
    for method in service.method
}

every_method = pytest.mark.parametrize("method", METHODS, ids=path)


@pytest.fixture
async def seeded(service: Service, database_url: str) -> Service:
    """A server with the sample data, and with the other resources of the examples."""
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    for case in CASES:
        if case.name not in SAMPLE_IDS:
            referred = {each.field: SAMPLE_IDS.get(each.target.name, OTHER_ID) for each in references_of(case)}
            fields = {case.name: await case.message(service, id=OTHER_ID, **referred), "allow_missing": True}
            await case.method(service, "Update")(case.request("Update", **fields))
    return service


def message(method: MethodDescriptor, request: dict[str, Any]) -> bytes:
    """Return a request on the wire."""
    parsed: Any = ParseDict(request, message_factory.GetMessageClass(method.input_type)())
    return bytes(parsed.SerializeToString())


@every_method
async def test_the_example_of_a_method_succeeds(seeded: Service, method: MethodDescriptor) -> None:
    await call(seeded, method, message(method, EXAMPLES.request(PROTOS[path(method)])))


@every_method
async def test_the_failing_example_of_a_method_fails_as_documented(seeded: Service, method: MethodDescriptor) -> None:
    failure = EXAMPLES.failure(PROTOS[path(method)])
    with fails(grpc.StatusCode[failure.code]) as failed:
        await call(seeded, method, message(method, failure.request))
    assert (failed.info.reason, failed.message) == (failure.reason, failure.message)


async def test_the_error_of_the_common_rules_is_what_a_client_gets(service: Service) -> None:
    [shown] = re.findall(r"```json\n(.+?)```", RULES, re.DOTALL)
    with fails(grpc.StatusCode.INVALID_ARGUMENT) as failed:
        await service.locations.ListLocations(ListLocationsRequest(page_size=-1))
    request_id = failed.detail(RequestInfo).request_id
    assert MessageToDict(failed.status) == json.loads(shown.replace("CALL_ID", request_id))


def test_the_common_rules_say_what_to_do_for_every_code_of_the_contract() -> None:
    comments = "\n".join(read_comments(FILES).values())
    codes = {name for name in grpc.StatusCode.__members__ if re.search(rf"(^- |Code ){name}\b", comments, re.MULTILINE)}
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", RULES, re.MULTILINE)
    assert codes
    assert codes <= {code for row in rows for code in re.findall(r"[A-Z_]+", row)}


TABLE = RULES.partition("| a filter of")[2].partition("\n\n")[0]
FILTERS = [each for row in re.findall(r"^\| (`.+?) \|", TABLE, re.MULTILINE) for each in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("expression", FILTERS)
async def test_each_filter_of_the_table_is_accepted(seeded: Service, expression: str) -> None:
    listed = await seeded.locations.ListLocations(ListLocationsRequest(filter=expression))
    assert len(listed.locations) <= 3


def test_the_filters_of_the_table_are_found() -> None:
    assert len(FILTERS) == 9
    assert 'display_name = "*2"' in FILTERS
