"""Unexpected errors: clients get INTERNAL with a request id, and the log has the details under the same id."""

import logging

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo

from sprocket_grpc.testing.postgres import execute
from tests.conformance.breakage import TABLES, failures, without_audit_log
from tests.conformance.rpcs import valid_requests
from tests.support.errors import Failure
from tests.support.resources import CASES, Case
from tests.support.service import Service

INTERNAL = "ERROR_REASON_INTERNAL"
SECRET = "hunter2"  # noqa: S105  # a made-up secret  # pragma: allowlist secret

TIMES_AS_TEXT = """
    DROP TRIGGER audit_update ON {0};
    ALTER TABLE {0} ALTER create_time DROP DEFAULT, ALTER create_time TYPE text;
    ALTER TABLE chart_entry ALTER time_micros TYPE text;
"""
"""Statements that read a time fail in PostgreSQL, and a chart has times of type text, which the message refuses."""

NAMES_AS_LISTS = """
    DROP TRIGGER audit_update ON {0};
    ALTER TABLE {0} DROP CONSTRAINT ck_{0}_display_name;
    ALTER TABLE {0} ALTER display_name TYPE text[] USING ARRAY[display_name];
"""
"""Statements that read succeed, but the service cannot convert their rows to messages."""

WRITES_FAIL = f"""
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'cannot write: password={SECRET}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {{0}} FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def assert_only_an_id_is_revealed(errors: dict[str, Failure], log: str) -> None:
    """Check that each error has a unique id, which is in the log too, and that all errors are the same otherwise."""
    ids = [failure.info.metadata["request_id"] for failure in errors.values()]
    assert len(set(ids)) == len(ids)
    assert [failure.detail(RequestInfo).request_id for failure in errors.values()] == ids
    assert [identifier for identifier in ids if identifier not in log] == []
    texts = {failure.message.replace(it, "") for failure, it in zip(errors.values(), ids, strict=True)}
    assert len(texts) == 1
    assert [path for path, failure in errors.items() if SECRET in str(failure.status)] == []


async def broken(service: Service, database_url: str, damage: str, verbs: tuple[str, ...]) -> dict[str, Failure]:
    """Damage every table, and return the errors of all methods with these verbs."""
    requests = without_audit_log(await valid_requests(service))
    for table in TABLES:
        execute(database_url, damage.format(table))
    wanted = {path: request for path, request in requests.items() if path.split("/")[-1].startswith(verbs)}
    return await failures(service, wanted, grpc.StatusCode.INTERNAL, INTERNAL)


@pytest.mark.parametrize(
    ("damage", "verbs"),
    [
        pytest.param(
            TIMES_AS_TEXT, ("Create", "Get", "List", "Update", "BatchGet", "BatchCreate"), id="a column of another type"
        ),
        pytest.param(NAMES_AS_LISTS, ("GetLocation", "GetSprocket", "List", "BatchGet"), id="values of another type"),
        pytest.param(
            WRITES_FAIL, ("Create", "Update", "Delete", "BatchCreate", "BatchDelete"), id="a trigger that raises"
        ),
    ],
)
async def test_an_unexpected_error_is_internal_and_reveals_only_a_request_id(
    service: Service, database_url: str, caplog: pytest.LogCaptureFixture, damage: str, verbs: tuple[str, ...]
) -> None:
    with caplog.at_level(logging.ERROR):
        errors = await broken(service, database_url, damage, verbs)
    assert len(errors) >= 7
    assert_only_an_id_is_revealed(errors, caplog.text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_violation_of_an_unknown_constraint_is_internal(
    service: Service, database_url: str, caplog: pytest.LogCaptureFixture, case: Case
) -> None:
    requests = await valid_requests(service)
    execute(database_url, f"ALTER TABLE {case.name} ADD CONSTRAINT {SECRET} CHECK (display_name = '') NOT VALID")
    stored = (await case.page(service))[0]
    service_path = f"/sprocket.v1.{case.kind}Service/"
    writes = {path: requests[path] for verb in ("Create", "Update") if (path := f"{service_path}{verb}{case.kind}")}
    with caplog.at_level(logging.ERROR):
        errors = await failures(service, writes, grpc.StatusCode.INTERNAL, INTERNAL)
    assert_only_an_id_is_revealed(errors, caplog.text)
    assert (await case.page(service))[0] == stored
