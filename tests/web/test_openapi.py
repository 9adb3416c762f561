"""The contract as OpenAPI: valid, complete, and true of what the server answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # a library of check-jsonschema

from sprocket_grpc.auth.permissions import REQUIRED
from sprocket_grpc.config.settings import Settings
from tests.support.http import post, send
from tests.support.resources import MISSING_ID, create_factory
from tests.support.web import FACTORIES, LOCATIONS, WebService, running_web_service

GET = f"{FACTORIES}/GetFactory"


@pytest.fixture
async def document(web: WebService) -> Any:
    answered = await send(web.web, "GET", "/openapi.json")
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    return answered.json


def validator(document: Any, schema: Any) -> Any:
    """Return a validator of a schema in the document."""
    return Draft202012Validator({"components": document["components"], **schema})


def strings(content: Any, key: str) -> Iterator[str]:
    """Yield the values of a key at any depth."""
    if isinstance(content, dict):
        yield from (value for name, value in content.items() if name == key and isinstance(value, str))
    for each in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from strings(each, key)


async def test_it_is_openapi_3_1_with_json_schemas(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPI.model_validate(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in strings(document, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    ids = [*strings(document["paths"], "operationId")]
    assert len(ids) == len(set(ids))


async def test_it_has_every_method_with_its_comment(document: Any) -> None:
    assert document["paths"].keys() == REQUIRED.keys()
    operation = document["paths"][GET]["post"]
    assert operation["summary"] == "Gets a factory by its id"
    assert "NOT_FOUND: No factory has this id." in operation["description"]
    assert {"get", "post"} == document["paths"][GET].keys()
    assert {"post"} == document["paths"][f"{FACTORIES}/CreateFactory"].keys()


async def test_it_says_in_words_what_a_stream_is(document: Any) -> None:
    operation = document["paths"][f"{FACTORIES}/GetFactoryChart"]["post"]
    assert "OpenAPI cannot describe" in operation["description"]
    assert [*operation["requestBody"]["content"]] == ["application/connect+json"]


async def test_every_field_has_its_comment(document: Any) -> None:
    fields = document["components"]["schemas"]["sprocket.v1.Factory"]["properties"]
    assert all(each["description"] for each in fields.values())
    assert fields["sprocketProductionGoal"] | {"description": ""} == {
        "type": "string",
        "format": "int64",
        "description": "",
    }


async def test_responses_and_errors_are_as_it_says(web: WebService, document: Any) -> None:
    factory = await create_factory(web)
    for identifier, status in ((factory.id, "200"), (MISSING_ID, "default")):
        answered = await post(web.web, GET, {"id": identifier})
        described = document["paths"][GET]["post"]["responses"][status]["content"]["application/json"]["schema"]
        validator(document, described).validate(answered.json)


@pytest.mark.parametrize(
    "request_message", [{"id": MISSING_ID}, {"id": 1}, {"identifier": MISSING_ID}, {"id": MISSING_ID, "other": 1}]
)
async def test_a_request_is_malformed_if_it_does_not_fit(web: WebService, document: Any, request_message: Any) -> None:
    described = document["paths"][GET]["post"]["requestBody"]["content"]["application/json"]["schema"]
    answered = await post(web.web, GET, request_message)
    assert validator(document, described).is_valid(request_message) == (answered.json["code"] != "invalid_argument")


async def test_it_is_compressed_and_validated_by_its_etag(web: WebService) -> None:
    first = await send(web.web, "GET", "/openapi.json", b"", accept_encoding="gzip")
    assert first.headers["content-encoding"] == "gzip"
    again = await send(web.web, "GET", "/openapi.json", b"", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_it_is_served_where_reflection_is(database_url: str) -> None:
    async with running_web_service(database_url, Settings(reflection=False)) as web:
        assert (await send(web.web, "GET", "/openapi.json")).status == 404
        assert (await post(web.web, f"{LOCATIONS}/ListLocations", {})).status == 200


async def test_it_says_whether_callers_must_authenticate(database_url: str) -> None:
    async with running_web_service(database_url, Settings(api_keys=True)) as web:
        document = json.loads((await send(web.web, "GET", "/openapi.json")).body)
        assert document["security"] == [{"bearer": []}]
