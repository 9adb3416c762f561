"""Reflection: a client without the contract, here `buf curl`, finds all of it and can call it."""

import asyncio
import json
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import google.rpc.error_details_pb2 as details
import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from sprocket_grpc.contract import read_comments
from tests.server.test_contract import FILES
from tests.support.processes import server_process
from tests.support.resources import CASES, MISSING_ID, create_location
from tests.support.service import Service

BUF = Path(sys.executable).with_name("buf")
INVALID_ARGUMENT, NOT_FOUND = 3, 5
KINDS = [*(case.kind for case in CASES), "Audit"]
OTHERS = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
]

M = TypeVar("M", bound=Message)


class Finished(NamedTuple):
    """The result of a run of buf. The exit status of a failed call is 8 times its gRPC code."""

    status: int
    output: str
    errors: str

    @property
    def message(self) -> Any:
        """The response, or the error, as JSON."""
        return json.loads(self.output or self.errors)

    def detail(self, kind: type[M]) -> M:
        """Return the detail of a type."""
        [value] = [each["value"] for each in self.message["details"] if each["type"] == kind.DESCRIPTOR.full_name]
        return kind.FromString(b64decode(value + "=="))


Buf = Callable[..., Awaitable[Finished]]


@pytest.fixture
def buf(service: Service, tmp_path: Path) -> Buf:
    """Runs `buf curl` in a directory without the contract, so that it depends on reflection."""

    async def run(path: str, *options: str) -> Finished:
        command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *map(str, command), f"http://{service.address}{path}", cwd=tmp_path, stdout=pipe, stderr=pipe
        )
        output, errors = await process.communicate()
        assert process.returncode is not None
        return Finished(process.returncode, output.decode(), errors.decode())

    return run


def without_comments(file: FileDescriptorProto) -> FileDescriptorProto:
    """Return a file as generated code has it: without comments, and without names in JSON, which follow from others."""
    file.ClearField("source_code_info")
    for field in [field for message in file.message_type for field in message.field]:
        field.ClearField("json_name")
    return file


async def reflect(channel: grpc.aio.Channel, request: ServerReflectionRequest) -> ServerReflectionResponse:
    """Return the response of the reflection service to one request."""

    async def requests() -> AsyncIterator[ServerReflectionRequest]:
        yield request

    client: Any = ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for blocking calls only
    response: ServerReflectionResponse = await client.ServerReflectionInfo(requests()).read()
    return response


# Discovery.


async def test_every_service_is_listed_health_and_reflection_included(buf: Buf) -> None:
    listed = await buf("", "--list-services")
    assert listed.output.split() == sorted([*OTHERS, *(f"sprocket.v1.{kind}Service" for kind in KINDS)])


async def test_every_method_of_the_contract_is_listed(buf: Buf) -> None:
    listed = (await buf("", "--list-methods")).output.split()
    services = [service for file in FILES for service in file.services_by_name.values()]
    methods = [f"{service.full_name}/{method.name}" for service in services for method in service.methods]
    assert [line for line in listed if line.startswith("sprocket.")] == sorted(methods)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
async def test_the_contract_is_served_as_it_was_compiled(service: Service, file: FileDescriptor) -> None:
    response = await reflect(service.channel, ServerReflectionRequest(file_by_filename=file.name))
    files = [FileDescriptorProto.FromString(each) for each in response.file_descriptor_response.file_descriptor_proto]
    [served] = [each for each in files if each.name == file.name]
    assert without_comments(served) == FileDescriptorProto.FromString(file.serialized_pb)


async def test_the_comments_of_the_contract_are_served(service: Service) -> None:
    request = ServerReflectionRequest(file_containing_symbol="sprocket.v1.FactoryService")
    response = await reflect(service.channel, request)
    files = [FileDescriptorProto.FromString(each) for each in response.file_descriptor_response.file_descriptor_proto]
    [served] = [each for each in files if each.name == "sprocket/v1/factory.proto"]
    comments = read_comments([served])
    assert comments["FactoryService.GetFactory"].startswith(" Gets a factory by its id.")
    assert comments["Factory.id"]


async def test_the_details_of_errors_can_be_decoded_with_reflection(database_url: str) -> None:
    kinds = (
        details.ErrorInfo,
        details.BadRequest,
        details.PreconditionFailure,
        details.ResourceInfo,
        details.RetryInfo,
    )
    with server_process(database_url) as server:  # a process that has not loaded anything for tests
        async with grpc.aio.insecure_channel(server.address) as channel:
            for kind in kinds:
                request = ServerReflectionRequest(file_containing_symbol=kind.DESCRIPTOR.full_name)
                found = (await reflect(channel, request)).file_descriptor_response.file_descriptor_proto
                assert kind.DESCRIPTOR.file.serialized_pb in found


# Calls.


async def test_a_resource_is_created_read_and_listed_as_json(service: Service, buf: Buf) -> None:
    fields = {
        "displayName": "Hülle ⚙",
        "address": "1 St",
        "city": "Springfield",
        "postalCode": "62701",
        "countryCode": "US",
    }
    created = await buf("/sprocket.v1.LocationService/CreateLocation", "-d", json.dumps({"location": fields}))
    assert created.status == 0
    made = created.message["location"]
    assert fields.items() <= made.items()
    read = await buf("/sprocket.v1.LocationService/GetLocation", "-d", json.dumps({"id": made["id"]}))
    assert read.message == created.message
    await create_location(service)
    listed = await buf("/sprocket.v1.LocationService/ListLocations", "-d", '{"page_size": 1}')
    assert listed.message["locations"] == [made]
    assert listed.message["nextPageToken"]


async def test_an_error_arrives_with_all_its_details(buf: Buf) -> None:
    request = '{"location": {"displayName": " ", "address": "1 St", "city": "Springfield", "postalCode": "62701"}}'
    refused = await buf("/sprocket.v1.LocationService/CreateLocation", "-d", request)
    assert refused.status == 8 * INVALID_ARGUMENT
    assert refused.message["code"] == "invalid_argument"
    wrong = ["location.display_name", "location.country_code"]
    assert [each.field for each in refused.detail(details.BadRequest).field_violations] == wrong
    info = refused.detail(details.ErrorInfo)
    assert (info.reason, info.domain) == ("ERROR_REASON_INVALID_FIELD", "sprocket.internal")
    assert info.metadata["fields"] == ",".join(wrong)


async def test_a_missing_resource_is_named_in_the_error(buf: Buf) -> None:
    missing = await buf("/sprocket.v1.FactoryService/GetFactoryChart", "-d", json.dumps({"factory_id": MISSING_ID}))
    assert missing.status == 8 * NOT_FOUND
    assert missing.detail(details.ResourceInfo).resource_name == MISSING_ID
