"""Creates many rows of a resource with few calls."""

import asyncio
from typing import Any

from tests.conformance.fields import fields_of
from tests.support.books import query
from tests.support.resources import Case, references_of
from tests.support.service import Service


async def references(service: Service, case: Case) -> dict[str, str]:
    """Create the resources that a resource refers to, and return its reference fields."""
    return {each.field: (await each.target.create(service)).id for each in references_of(case)}


async def create_several(service: Service, case: Case, count: int) -> list[Any]:
    """Create `count` resources with the same references, and return them in the order of their ids."""
    shared = await references(service, case)
    created = await asyncio.gather(*(case.create(service, **shared) for _ in range(count)))
    return sorted(created, key=lambda message: str(message.id))


async def copy_rows(service: Service, case: Case, count: int) -> None:
    """Copy the only row of a resource `count` times, in one statement."""
    await query(
        service,
        f"""
        INSERT INTO {case.name}
        SELECT copy.* FROM {case.name} AS original, generate_series(1, {count}) AS number,
            jsonb_populate_record(original, jsonb_build_object('id', md5(number::text)::uuid)) AS copy
        """,  # noqa: S608  # our own names
    )


async def other_values(service: Service, case: Case) -> dict[str, Any]:
    """Return a new value for each writable field, different from that of a created resource."""
    values = {field.name: field.valid_value for field in fields_of(case.name) if field.valid}
    return values | await references(service, case)
