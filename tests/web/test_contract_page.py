"""The contract as the explorer reads it: it has everything, with its comments, and what it says is so."""

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, MethodDescriptorProto, MethodOptions

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.contract import commented_files, read_comments
from tests.support.http import send
from tests.support.web import WebService, running_web_service

PATH = "/contract.json"
PREFIX = ".sprocket.v1."
OURS = [file for file in commented_files().values() if file.package == "sprocket.v1"]
COMMENTS = read_comments(OURS)


@pytest.fixture
async def contract(web: WebService) -> Any:
    answered = await send(web.web, "GET", PATH)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    return answered.json


def members(contract: Any) -> dict[str, Any]:
    """Return what services, messages and enums have, by names such as `Factory.id`."""
    owners = {each["name"]: each["methods"] for each in contract["services"]}
    owners |= {name: each["fields"] for name, each in contract["messages"].items()}
    owners |= {name: each["values"] for name, each in contract["enums"].items()}
    return {f"{owner}.{each['name']}": each for owner, those in owners.items() for each in those}


async def test_it_names_every_element_with_its_comment(contract: Any) -> None:
    found = {each["name"]: each for each in contract["services"]}
    found |= contract["messages"] | contract["enums"] | members(contract)
    assert {name: each["comment"].split() for name, each in found.items()} == {
        name: comment.split() for name, comment in COMMENTS.items()
    }


def described(method: MethodDescriptorProto) -> tuple[str, str, bool, bool]:
    is_read = method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    return (
        method.input_type.removeprefix(PREFIX),
        method.output_type.removeprefix(PREFIX),
        is_read,
        method.server_streaming,
    )


async def test_it_says_what_a_method_takes_returns_and_does(contract: Any) -> None:
    found = members(contract)
    for service in (service for file in OURS for service in file.service):
        for method in service.method:
            each = found[f"{service.name}.{method.name}"]
            assert described(method) == (
                each["request"],
                each["response"],
                each.get("isRead", False),
                each.get("isStream", False),
            )


async def test_it_says_what_a_field_is(contract: Any) -> None:
    found = members(contract)
    for message in (message for file in OURS for message in file.message_type):
        for field in message.field:
            each = found[f"{message.name}.{field.name}"]
            scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
            assert each["type"] == (field.type_name[1:].removeprefix(PREFIX[1:]) or scalar)
            assert each["json"] == field.json_name
            assert each.get("isRepeated", False) == (field.label == FieldDescriptorProto.LABEL_REPEATED)
            assert each.get("hasPresence", False) == field.proto3_optional
            assert ("oneof" in each) == (field.HasField("oneof_index") and not field.proto3_optional)


async def test_an_enum_has_its_values_by_their_numbers(contract: Any) -> None:
    [(declared, found)] = [(enum, contract["enums"][enum.name]["values"]) for file in OURS for enum in file.enum_type]
    assert [(each["number"], each["name"]) for each in found] == [(each.number, each.name) for each in declared.value]


async def test_every_type_that_it_names_is_in_it_or_known_to_all(contract: Any) -> None:
    for each in members(contract).values():
        for name in (each.get("type", "int32"), each.get("request", "int32"), each.get("response", "int32")):
            is_scalar_or_known = name[0].islower()
            assert is_scalar_or_known or name in contract["messages"] or name in contract["enums"]


async def test_it_is_small_and_is_not_sent_again_unless_it_has_changed(web: WebService) -> None:
    first = await send(web.web, "GET", PATH, b"", accept_encoding="gzip")
    assert first.headers["content-encoding"] == "gzip"
    assert len(first.body) < 30_000
    again = await send(web.web, "GET", PATH, b"", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_it_is_served_where_reflection_is(database_url: str) -> None:
    async with running_web_service(database_url, Settings(reflection=False)) as web:
        assert (await send(web.web, "GET", PATH)).status == 404


async def test_it_says_how_to_call_by_grpc(web: WebService, contract: Any) -> None:
    assert contract["grpc"] == {"port": int(web.address.rpartition(":")[2]), "isTls": False}


async def test_it_says_whether_callers_must_authenticate(contract: Any, database_url: str) -> None:
    assert not contract["authenticates"]
    async with running_web_service(database_url, Settings(api_keys=True)) as web:
        assert (await send(web.web, "GET", PATH)).json["authenticates"]
