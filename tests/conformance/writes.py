"""A request for every method that writes, its effect on the tables, and dumps of the database."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sprocket.v1 import sprocket_pb2
from tests.conformance.rows import references
from tests.support.books import query
from tests.support.resources import CASES, SPROCKET, Case, create_factory
from tests.support.service import Service


@dataclass(frozen=True)
class Write:
    """A request that succeeds once; if it takes effect a second time, it fails or changes more rows.

    Attributes:
        path: The path of its method.
        request: The request.
        response: The type of its response.
        growth: The number of added rows, of each table that changes.
    """

    path: str
    request: Any
    response: Any
    growth: dict[str, int]

    async def send(self, service: Service, **fields: Any) -> bytes:
        """Send the request with some fields replaced, and return the serialised response."""
        request = type(self.request).FromString(self.request.SerializeToString())
        request.MergeFrom(type(self.request)(**fields))
        return await send(service, self.path, request)


async def send(service: Service, path: str, request: Any) -> bytes:
    """Call the method at a path, and return the serialised response."""
    channel: Any = service.channel  # its types do not support calls with bytes
    answer: bytes = await channel.unary_unary(path)(request.SerializeToString())
    return answer


Maker = Callable[[Service], Awaitable[Write]]


def write(case: Case, name: str, request: Any, growth: dict[str, int], resources: int = 1) -> Write:
    """Make a write from the name of its method, its request and its effect on the tables."""
    response = getattr(case.pb, f"{name}Response")
    return Write(f"/sprocket.v1.{case.kind}Service/{name}", request, response, growth | {"audit_entry": resources})


def creation(case: Case) -> Maker:
    """Return a function that makes a create request."""

    async def make(service: Service) -> Write:
        request = case.request("Create", **{case.name: await case.message(service)})
        charts = {"chart_entry": 1} if case.name in ("factory", "sprocket") else {}
        return write(case, f"Create{case.kind}", request, {case.name: 1} | charts)

    return make


def change(case: Case) -> Maker:
    """Return a function that makes an update request with an etag, which adds chart entries where possible."""

    async def make(service: Service) -> Write:
        created = await case.create(service)
        fields: dict[str, Any] = {"display_name": "other"}
        if case.name == "factory":
            fields["sprocket_production_goal"] = 99
        if case.name == "sprocket":
            fields["factory_id"] = (await create_factory(service)).id
        message = type(created)(id=created.id, etag=created.etag, **fields)
        charts = {"factory": {"chart_entry": 1}, "sprocket": {"chart_entry": 2}}.get(case.name, {})
        return write(case, f"Update{case.kind}", case.request("Update", **{case.name: message}), charts)

    return make


def deletion(case: Case) -> Maker:
    """Return a function that makes a delete request."""

    async def make(service: Service) -> Write:
        created = await case.create(service)
        charts = {"factory": {"chart_entry": -1}, "sprocket": {"chart_entry": 1}}.get(case.name, {})
        request = case.request("Delete", id=created.id)
        return write(case, f"Delete{case.kind}", request, {case.name: -1} | charts)

    return make


def batch_creation(case: Case) -> Maker:
    """Return a function that makes a request that creates three resources; sprockets have the same factory."""

    async def make(service: Service) -> Write:
        shared = await references(service, case)
        messages = [await case.message(service, display_name=str(number), **shared) for number in range(3)]
        charts = {"factory": {"chart_entry": 3}, "sprocket": {"chart_entry": 1}}.get(case.name, {})
        request = case.request("BatchCreate", **{case.plural: messages})
        return write(case, f"BatchCreate{case.kinds}", request, {case.name: 3} | charts, 3)

    return make


async def batch_deletion(service: Service) -> Write:
    """Make a request that deletes three sprockets of one factory."""
    shared = await references(service, SPROCKET)
    created = [await SPROCKET.create(service, **shared) for _ in range(3)]
    request = sprocket_pb2.BatchDeleteSprocketsRequest(ids=[each.id for each in created])
    return write(SPROCKET, "BatchDeleteSprockets", request, {"sprocket": -3, "chart_entry": 1}, 3)


_STANDARD = {"Create": creation, "Update": change, "Delete": deletion}
MAKERS: dict[str, Maker] = {f"{verb}{case.kind}": of(case) for case in CASES for verb, of in _STANDARD.items()}
MAKERS |= {f"BatchCreate{case.kinds}": batch_creation(case) for case in CASES}
MAKERS |= {"BatchDeleteSprockets": batch_deletion}

every_write = pytest.mark.parametrize("make", list(MAKERS.values()), ids=list(MAKERS))


async def dump(service: Service) -> dict[str, list[str]]:
    """Return every row of every table, as sorted texts."""
    tables = await query(
        service,
        """
        SELECT relname::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        """,
    )
    rows = {name: await query(service, f"SELECT row::text FROM {name} AS row") for (name,) in tables}  # noqa: S608  # our own names
    return {name: sorted(text for (text,) in found) for name, found in rows.items()}


def growth(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, int]:
    """Return the number of added rows between two dumps, for the tables that grew or shrank."""
    more = {name: len(after[name]) - len(rows) for name, rows in before.items()}
    return {name: number for name, number in more.items() if number}
