"""Errors fit into the trailers for any request, and their metadata has all variable parts of their messages."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import grpc
import pytest

from sprocket.v1.error_reason_pb2 import ErrorReason
from sprocket.v1.location_pb2 import Location
from tests.conformance.fields import MEGABYTE, fields_of
from tests.conformance.promises import INVALID_FIELD, REASONS, REFERENCE_NOT_FOUND, RESOURCE_NOT_FOUND, invalid, refusal
from tests.support.resources import CASES, LOCATION, MISSING_ID, SPROCKET, Case
from tests.support.service import Service

OTHER_ID = MISSING_ID.replace("5", "6")

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

ABSURD_MASKS = {
    "ninety thousand unknown paths": [f"path{number}" for number in range(90_000)],  # in JSON, 100,000 are too many
    "one path of a megabyte": [MEGABYTE],
    "emoji": ["\N{GRINNING FACE}" * 60] * 1000,
    "long paths of emoji": ["\N{GRINNING FACE}" * 1000] * 100,
    "unprintable characters": ["\U0010ffff" * 60] * 1000,
    "a megabyte of unprintable characters": ["\U0010ffff" * 250_000],
    "control characters": ["\x01\x7f" * 30] * 1000,
    "empty paths": [""] * 90_000,
}


def test_every_reason_is_documented_with_its_code_and_an_example() -> None:
    assert set(REASONS) == set(ErrorReason.DESCRIPTOR.values_by_name) - {"ERROR_REASON_UNSPECIFIED"}
    assert {documented.code for documented in REASONS.values()} <= {code.name for code in grpc.StatusCode}


@pytest.mark.parametrize("label", ABSURD_MASKS)
async def test_a_client_receives_the_error_of_an_absurd_mask(service: Service, label: str) -> None:
    mask = ABSURD_MASKS[label]
    for case in CASES:
        message = getattr(case.pb, case.kind)(id=MISSING_ID)
        assert set(await invalid(case.update(service, message, mask))) == {"update_mask"}


@every_resource
async def test_a_client_receives_the_error_of_absurd_values(service: Service, case: Case) -> None:
    texts = [field for field in fields_of(case.name) if isinstance(field.invalid_value, str)]
    absurd = {field.name: "\U0010ffff" * 40_000 for field in texts}
    create = case.method(service, "Create")(case.request("Create", **{case.name: absurd}))
    update = case.update(service, getattr(case.pb, case.kind)(id=MEGABYTE, **absurd), [*absurd, *["\x01" * 60] * 1000])
    created, updated = await asyncio.gather(invalid(create), invalid(update))
    assert {field.path for field in texts} <= set(created)
    assert {field.path for field in texts} | {f"{case.name}.id", "update_mask"} == set(updated)


Pair: TypeAlias = "list[Coroutine[Any, Any, object]]"
"""Two calls that fail, and differ in one value that their error messages may contain."""


def _unknown_id(service: Service) -> Pair:
    return [LOCATION.get(service, identifier) for identifier in (MISSING_ID, OTHER_ID)]


def _unknown_reference(service: Service) -> Pair:
    return [SPROCKET.create(service, factory_id=identifier) for identifier in (MISSING_ID, OTHER_ID)]


def _long_text(service: Service) -> Pair:
    return [LOCATION.create(service, city="x" * length) for length in (101, 102)]


def _unknown_path(service: Service) -> Pair:
    return [LOCATION.update(service, Location(id=MISSING_ID), [path]) for path in ("unknown_path", "another_path")]


def _many_unknown_paths(service: Service) -> Pair:
    return [LOCATION.update(service, Location(id=MISSING_ID), ["x"] * count) for count in (98, 99)]


NOT_FOUND = (grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
FAILED_PRECONDITION = (grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
INVALID_ARGUMENT = (grpc.StatusCode.INVALID_ARGUMENT, INVALID_FIELD)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(_unknown_id, NOT_FOUND, id="an unknown id"),
        pytest.param(_unknown_reference, FAILED_PRECONDITION, id="an unknown reference"),
        pytest.param(_long_text, INVALID_ARGUMENT, id="a long text"),
        pytest.param(_unknown_path, INVALID_ARGUMENT, id="an unknown path"),
        pytest.param(_many_unknown_paths, INVALID_ARGUMENT, id="many unknown paths"),
    ],
)
async def test_every_variable_part_of_an_errors_text_is_in_its_metadata(
    service: Service, make: Callable[[Service], Pair], expected: tuple[grpc.StatusCode, str]
) -> None:
    one, other = [await refusal(call, *expected) for call in make(service)]
    if one.info.metadata == other.info.metadata:
        assert one.message == other.message
