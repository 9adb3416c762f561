"""`sprocket-grpc audit`: what an operator and a program get to see."""

import json
import re
from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict

from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.location_pb2 import Location
from sprocket_grpc.cli import audit
from sprocket_grpc.storage import migrate
from tests.support.auditing import entries
from tests.support.command_line import run
from tests.support.resources import CASES, MISSING_ID, create_factory, create_location
from tests.support.service import Service

LOCATION = CASES[0]


async def change(service: Service, **fields: Any) -> Location:
    """Create a location and change it."""
    made = await create_location(service)
    updated: Location = await LOCATION.update(service, Location(id=made.id, **fields))
    return updated


async def test_people_read_who_changed_what_how_and_from_what_to_what(service: Service, database_url: str) -> None:
    made = await change(service, city="Shelbyville", address_2="3rd floor")
    await LOCATION.delete(service, made.id)
    finished = run("audit", database_url=database_url)
    assert (finished.status, finished.errors) == (0, "")
    deleted, updated, created, rest = finished.output.split("\n\n")
    entry = (await entries(service))[1]
    assert updated.splitlines() == [
        f"{entry.create_time.ToDatetime():%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" UTC  anonymous updated Location {made.id}",
        f"  by UpdateLocation, request id {entry.request_id}",
        '  address_2  "" -> "3rd floor"',
        '  city       "Springfield" -> "Shelbyville"',
    ]
    for shown, verb, city in ((deleted, "deleted", "Shelbyville"), (created, "created", "Springfield")):
        assert f" anonymous {verb} Location {made.id}\n" in shown
        assert re.search(rf'^  city +"{city}"$', shown, re.MULTILINE)
    assert rest == ""


async def test_whole_numbers_are_shown_without_the_quotes_that_they_have_in_json(
    service: Service, database_url: str
) -> None:
    made = await create_factory(service)
    await CASES[2].update(service, Factory(id=made.id, sprocket_production_goal=2**63 - 1))
    shown = run("audit", "--limit", "1", database_url=database_url).output
    assert "  sprocket_production_goal  10 -> 9223372036854775807\n" in shown


async def test_programs_get_the_entries_of_the_contract_a_line_each(service: Service, database_url: str) -> None:
    await create_factory(service, sprocket_production_goal=2**63 - 1)
    finished = run("audit", "--json", database_url=database_url)
    found = [json.loads(line) for line in finished.output.splitlines()]
    assert found == [MessageToDict(each, preserving_proto_field_name=True) for each in await entries(service)]
    assert found[0]["after"]["sprocket_production_goal"] == str(2**63 - 1)


async def test_what_is_shown_can_be_chosen(service: Service, database_url: str) -> None:
    made = await change(service, city="Shelbyville")
    other = await create_location(service)
    cases = {
        (): [other.id, made.id, made.id],
        ("--limit", "2"): [other.id, made.id],
        ("--resource", made.id): [made.id, made.id],
        ("--resource", MISSING_ID): [],
        ("--principal", "anonymous", "--resource", other.id.upper()): [other.id],
        ("--principal", "somebody"): [],
        ("--since", "1h"): [other.id, made.id, made.id],
        ("--since", other.create_time.ToJsonString()): [other.id],
        ("--since", "1999-12-31T00:00:00Z", "--limit", "1"): [other.id],
        ("--since", "1600-01-01T00:00:00Z", "--limit", "1"): [other.id],
    }
    for options, expected in cases.items():
        finished = run("audit", "--json", *options, database_url=database_url)
        assert [json.loads(line)["resource_id"] for line in finished.output.splitlines()] == expected, options


async def test_more_entries_than_are_read_at_once_are_all_shown(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        await create_location(service)
    monkeypatch.setattr(audit, "_READ_AT_ONCE", 3)
    monkeypatch.setattr(audit, "load_settings_and_log", lambda: None)  # it would log for this process
    monkeypatch.setattr(audit, "open_database", lambda *_, **__: nullcontext(database_url))
    for limit in (5, 6, 7, 8):
        output = CliRunner().invoke(audit.audit_command, ["--json", "--limit", str(limit)]).output
        shown = [json.loads(line)["id"] for line in output.splitlines()]
        assert shown == [each.id for each in await entries(service)][:limit]


async def test_nothing_that_a_caller_writes_moves_the_cursor(service: Service, database_url: str) -> None:
    await create_location(service, display_name="a\x1b[2Jb\nc")
    finished = run("audit", database_url=database_url)
    assert "\x1b" not in finished.output
    assert r'"a\u001b[2Jb\nc"' in finished.output


def test_a_database_without_the_log_is_told_so(database_url: str) -> None:
    migrate.downgrade(database_url, "0001")
    finished = run("audit", database_url=database_url)
    finished.assert_refused()
    assert "run `sprocket-grpc migrate`" in finished.errors


@pytest.mark.parametrize("wrong", [("--resource", "7"), ("--since", "soon"), ("--limit", "0")], ids=" ".join)
def test_options_that_make_no_sense_are_named(wrong: tuple[str, str]) -> None:
    finished = run("audit", *wrong)
    assert finished.status == 2
    assert wrong[0] in finished.errors
