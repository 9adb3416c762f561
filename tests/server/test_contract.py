"""The conventions of the contract, and its agreement with the code."""

import inspect
from importlib import import_module
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from sprocket.v1.error_reason_pb2 import ErrorReason
from sprocket_grpc import contract, errors
from sprocket_grpc.interceptors import status
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.storage.resource import ResourceStore
from sprocket_grpc.storage.tables import metadata
from tests import ROOT
from tests.support.resources import CASES, Case

RESOURCES: dict[str, Resource[Any]] = {
    case.name: getattr(import_module(f"sprocket_grpc.services.{case.name}"), case.name.upper()) for case in CASES
}
PROTOS = sorted(ROOT.joinpath("protos/sprocket/v1").glob("*.proto"))
FILES: list[FileDescriptor] = [import_module(f"sprocket.v1.{each.stem}_pb2").DESCRIPTOR for each in PROTOS]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def methods() -> list[MethodDescriptor]:
    services = [service for file in FILES for service in file.services_by_name.values()]
    return [method for service in services for method in service.methods]


def known_errors() -> list[type[errors.SprocketError]]:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    return [each for each in classes if issubclass(each, errors.SprocketError) and hasattr(each, "reason")]


def test_the_server_knows_exactly_the_protos() -> None:
    assert contract.FILES == FILES


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_exactly_the_reads_are_marked_as_without_side_effects(method: MethodDescriptor) -> None:
    marked = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    assert marked == method.name.startswith(("Get", "List", "BatchGet", "Follow"))


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_every_rpc_has_a_request_and_a_response_of_its_own(method: MethodDescriptor) -> None:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


@each_case
def test_every_resource_begins_with_the_same_four_fields(case: Case) -> None:
    fields = RESOURCES[case.name].descriptor.fields
    assert [(field.name, field.number) for field in fields[:4]] == [
        ("id", 1),
        ("create_time", 2),
        ("update_time", 3),
        ("etag", 4),
    ]
    assert [field.number for field in fields] == list(range(1, len(fields) + 1))


@each_case
def test_every_list_takes_the_same_fields(case: Case) -> None:
    fields = case.request("List").DESCRIPTOR.fields
    names = ["page_size", "page_token", "filter", "order_by", "show_total_size"]
    assert [(field.name, field.number) for field in fields] == [(name, n) for n, name in enumerate(names, start=1)]


@each_case
def test_requests_and_responses_hold_the_resource_under_its_name(case: Case) -> None:
    requests = [case.request(verb) for verb in ("Create", "Update")]
    responses = [getattr(case.pb, f"{verb}{case.kind}Response")() for verb in ("Create", "Get", "Update")]
    for message in (*requests, *responses):
        field = message.DESCRIPTOR.fields_by_name[case.name]
        assert field.message_type is RESOURCES[case.name].descriptor
        assert not field.is_repeated


@each_case
def test_lists_and_batches_hold_the_resources_in_their_first_field(case: Case) -> None:
    for verb in ("List", "BatchGet"):
        field = getattr(case.pb, f"{verb}{case.kinds}Response").DESCRIPTOR.fields_by_number[1]
        assert field.message_type is RESOURCES[case.name].descriptor
        assert field.is_repeated


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_contract_imports_nothing_but_the_well_known_types(file: FileDescriptor) -> None:
    assert file.package == "sprocket.v1"
    assert all(each.name.startswith("google/protobuf/") for each in file.dependencies)


@each_case
def test_the_columns_of_a_table_are_the_fields_of_its_message_in_their_order(case: Case) -> None:
    columns = [column.name for column in ResourceStore(metadata.tables[case.name]).columns]
    fields = [field.name for field in RESOURCES[case.name].descriptor.fields if field.name != "etag"]
    assert columns == fields


@each_case
def test_all_own_fields_except_the_actual_are_writable(case: Case) -> None:
    resource = RESOURCES[case.name]
    assert set(resource.own_fields) - set(resource.rules) <= {"sprocket_production_actual"}
    assert set(resource.rules) <= set(resource.own_fields)


def test_every_error_has_a_reason_of_its_own_and_every_reason_an_error() -> None:
    # What a caller may not reach is a permission that it lacks.
    reasons = sorted(each.reason for each in known_errors() if each is not errors.OutOfReachError)
    assert reasons == sorted(set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"})
    assert errors.OutOfReachError.reason == errors.PermissionDeniedError.reason


def test_every_error_has_a_status() -> None:
    assert set(known_errors()) == set(status._TABLE)
