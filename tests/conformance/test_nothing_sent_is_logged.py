"""The log never contains what callers send, whichever way their calls end."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from sprocket_grpc.telemetry.logs import JsonLines
from sprocket_grpc.testing.postgres import execute
from tests.conformance.breakage import TABLES
from tests.conformance.rpcs import METHODS, call, path, valid_requests
from tests.support.service import Service

MARKER = "Xq7marker"
SECONDS = 60

DAMAGES = {
    "none": "",
    "an unknown constraint": "ALTER TABLE {0} ADD CONSTRAINT mine CHECK (display_name !~ 'marker') NOT VALID",
    "a column of another type": """
        DROP TRIGGER audit_update ON {0};
        DROP INDEX IF EXISTS ix_{0}_display_name_id; ALTER TABLE {0} DROP CONSTRAINT ck_{0}_display_name;
        ALTER TABLE {0} ALTER display_name TYPE int USING 1
    """,
    "a shorter column": """
        DROP TRIGGER audit_update ON {0}; ALTER TABLE {0} ALTER display_name TYPE varchar(5) USING 'x'
    """,
    "a unique column": "CREATE UNIQUE INDEX ON {0} ((true)) WHERE display_name ~ 'marker'",
    "a trigger that fails": """
        CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM CAST(NEW.display_name AS int); RETURN NEW; END $$;
        CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON {0} FOR EACH ROW EXECUTE FUNCTION fail();
    """,
    "stored values of another type": f"""
        UPDATE {{0}} SET display_name = '{MARKER}'; DROP TRIGGER audit_update ON {{0}};
        ALTER TABLE {{0}} DROP CONSTRAINT ck_{{0}}_display_name;
        ALTER TABLE {{0}} ALTER display_name TYPE text[] USING ARRAY[display_name];
    """,  # noqa: S608  # our own text
    "a missing column": "ALTER TABLE {0} RENAME display_name TO other_name",
    "no privilege": "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY; ALTER TABLE {0} FORCE ROW LEVEL SECURITY",
}


def texts_of(message: Any, depth: int = 0) -> Iterator[tuple[Any, FieldDescriptor]]:
    """Yield all text fields of a message and of the messages in it, each with the message that it is of."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield message, field
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < 3:
            inner = getattr(message, field.name)
            for each in inner if field.is_repeated else [inner]:
                yield from texts_of(each, depth + 1)


def plant(message: Any, field: FieldDescriptor) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(MARKER)
    else:
        setattr(message, field.name, MARKER)


def with_marker_in_each_text(request_type: type[Any], valid: bytes) -> list[bytes]:
    """Return a request once for each of its text fields, with the marker in that field."""
    count = len(list(texts_of(request_type.FromString(valid))))
    planted = []
    for index in range(count):
        request = request_type.FromString(valid)
        plant(*list(texts_of(request))[index])
        planted.append(request.SerializeToString())
    return planted


async def ended(service: Service, method: Any, request: bytes) -> None:
    """Make a call, however it ends."""
    with suppress(grpc.aio.AioRpcError):
        async with asyncio.timeout(SECONDS):
            await call(service, method, request)


async def send_markers(service: Service, valid: dict[str, bytes]) -> int:
    """Call every method with the marker in each of its text fields, and return the number of calls."""
    calls = [
        ended(service, method, request)
        for method in METHODS
        for request in with_marker_in_each_text(GetMessageClass(method.input_type), valid[path(method)])
    ]
    await asyncio.gather(*calls)
    return len(calls)


def lines_with_marker(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for record in caplog.records if MARKER in (line := JsonLines().format(record))]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_no_text_of_a_request_is_in_the_log(
    service: Service, database_url: str, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    valid = await valid_requests(service)
    for table in TABLES:
        if DAMAGES[damage]:
            execute(database_url, DAMAGES[damage].format(table))
    with caplog.at_level(logging.INFO):
        assert await send_markers(service, valid) > 100
    assert len(caplog.records) > 100
    assert lines_with_marker(caplog) == []
