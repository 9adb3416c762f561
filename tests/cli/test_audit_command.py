"""`sprocket-grpc audit`: what an operator and a program get, through the service and from the database."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict
from sqlalchemy import Connection, text

from sprocket.v1.audit_pb2 import AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse
from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.location_pb2 import Location
from sprocket_grpc.cli.audit import command, database
from sprocket_grpc.cli.audit.output import as_text
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.auditing import entries
from tests.support.callers import create_key
from tests.support.command_line import Finished, run
from tests.support.resources import CASES, MISSING_ID, create_factory, create_location, create_sprocket_type
from tests.support.service import Service, running_service

pytestmark = pytest.mark.slow

LOCATION = CASES[0]


@pytest.fixture(params=["database", "service"])
def source(request: pytest.FixtureRequest, service: Service, database_url: str) -> dict[str, str]:
    """The settings with which the command reads the entries of the service, one way or the other."""
    return {"database_url": database_url} if request.param == "database" else {"client_server": service.address}


async def audit(source: dict[str, str], *arguments: str) -> Finished:
    """Run the command while the server of this process serves."""
    return await asyncio.to_thread(run, "audit", *arguments, **source)


async def change(service: Service, **fields: Any) -> Location:
    """Create a location and change it."""
    made = await create_location(service)
    updated: Location = await LOCATION.update(service, Location(id=made.id, **fields))
    return updated


def ids(finished: Finished, field: str = "id") -> list[str]:
    """Return a field of the entries that were printed as JSON."""
    assert (finished.status, finished.errors) == (0, "")
    return [json.loads(line)[field] for line in finished.output.splitlines()]


@contextmanager
def audit_server(answer: Any) -> Iterator[str]:
    """Serve ListAuditEntries with a function, and yield the address."""
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(
        answer, ListAuditEntriesRequest.FromString, ListAuditEntriesResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("sprocket.v1.AuditService", {"ListAuditEntries": handler})
    server.add_generic_rpc_handlers((service,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


# From both sources.


async def test_people_read_who_changed_what_how_and_from_what_to_what(service: Service, source: dict[str, str]) -> None:
    made = await change(service, city="Shelbyville", address_2="3rd floor")
    await LOCATION.delete(service, made.id)
    finished = await audit(source)
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
    service: Service, source: dict[str, str]
) -> None:
    made = await create_factory(service)
    await CASES[2].update(service, Factory(id=made.id, sprocket_production_goal=2**63 - 1))
    shown = (await audit(source, "--limit", "1")).output
    assert "  sprocket_production_goal  10 -> 9223372036854775807\n" in shown


async def test_texts_of_digits_do_not_look_like_numbers(service: Service, source: dict[str, str]) -> None:
    location = await change(service, city="12", postal_code="62701")
    await create_factory(service, display_name="7", location_id=location.id, sprocket_production_goal=7)
    factory, updated, *_ = (await audit(source)).output.split("\n\n")
    assert re.search(r'^  display_name +"7"$', factory, re.MULTILINE)
    assert re.search(r"^  sprocket_production_goal +7$", factory, re.MULTILINE)
    assert re.search(r'^  city +"Springfield" -> "12"$', updated, re.MULTILINE)


def test_fields_and_resources_that_the_contract_of_this_version_lacks_are_shown_as_json() -> None:
    unknown, removed = AuditEntry(resource_type="sprocket.v1.Machine"), AuditEntry(resource_type="sprocket.v1.Factory")
    unknown.before.update({"a": "1", "b": "x"})
    unknown.after.update({"a": "2", "b": 7})
    removed.before.update({"gone": "1"})
    removed.after.update({"gone": "2"})
    assert as_text(unknown).splitlines()[1:] == ['  a  "1" -> "2"', '  b  "x" -> 7']
    assert as_text(removed).splitlines()[1:] == ['  gone  "1" -> "2"']


async def test_whole_numbers_of_32_bits_have_no_decimal_point(service: Service, source: dict[str, str]) -> None:
    await create_sprocket_type(service, teeth=12, pitch_mm=12.7)
    shown = (await audit(source, "--limit", "1")).output
    assert re.search(r"^  teeth +12$", shown, re.MULTILINE)
    assert re.search(r"^  pitch_mm +12\.7$", shown, re.MULTILINE)


async def test_programs_get_the_entries_of_the_contract_a_line_each(service: Service, source: dict[str, str]) -> None:
    await create_factory(service, sprocket_production_goal=2**63 - 1)
    finished = await audit(source, "--json")
    found = [json.loads(line) for line in finished.output.splitlines()]
    assert found == [MessageToDict(each, preserving_proto_field_name=True) for each in await entries(service)]
    assert found[0]["after"]["sprocket_production_goal"] == str(2**63 - 1)


async def test_what_is_shown_can_be_chosen(service: Service, source: dict[str, str]) -> None:
    made = await change(service, city="Shelbyville")
    other = await create_location(service)
    cases = {
        (): [other.id, made.id, made.id],
        ("--limit", "2"): [other.id, made.id],
        ("--resource", made.id): [made.id, made.id],
        ("--resource", MISSING_ID): [],
        ("--principal", "anonymous", "--resource", other.id.upper()): [other.id],
        ("--principal", "somebody"): [],
        ("--principal", ""): [],
        ("--since", "1h"): [other.id, made.id, made.id],
        ("--since", "1h", "--principal", "anonymous", "--resource", made.id): [made.id, made.id],
        ("--since", "1999-12-31T00:00:00Z", "--limit", "1"): [other.id],
        ("--since", "1600-01-01T00:00:00Z", "--limit", "1"): [other.id],
    }
    for options, expected in cases.items():
        assert ids(await audit(source, "--json", *options), "resource_id") == expected, options


async def test_entries_since_a_time_are_exact_to_the_microsecond(service: Service, source: dict[str, str]) -> None:
    await change(service, city="Shelbyville")
    [newer, older] = await entries(service)
    for micros, expected in ((0, [newer.id, older.id]), (1, [newer.id])):
        newer.create_time.FromMicroseconds(older.create_time.ToMicroseconds() + micros)
        assert ids(await audit(source, "--json", "--since", newer.create_time.ToJsonString())) == expected


async def test_a_principal_is_matched_to_the_letter(
    service: Service, database_url: str, source: dict[str, str]
) -> None:
    principals = ["an*", "*", 'a "name"', "it's", "back\\slash", "\\*"]
    await create_location(service)
    for principal in principals:
        with create_plain_engine(database_url).begin() as connection:
            caller = json.dumps({"principal": principal})
            connection.execute(text("SELECT set_config('sprocket.caller', :caller, true)"), {"caller": caller})
            connection.execute(text("UPDATE location SET city = :city"), {"city": principal})
    for principal in principals:
        assert ids(await audit(source, "--json", "--principal", principal), "principal") == [principal]


async def test_nothing_that_a_caller_writes_moves_the_cursor(service: Service, source: dict[str, str]) -> None:
    await create_location(service, display_name="a\x1b[2Jb\nc")
    finished = await audit(source)
    assert "\x1b" not in finished.output
    assert r'"a\u001b[2Jb\nc"' in finished.output


async def test_both_sources_print_the_same(service: Service, database_url: str) -> None:
    await LOCATION.delete(service, (await change(service, city="Shelbyville")).id)
    await create_factory(service, sprocket_production_goal=2**63 - 1)
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("UPDATE factory SET display_name = 'by hand'"))
    for options in ((), ("--json",), ("--since", "1h", "--principal", "anonymous", "--limit", "2")):
        through_service = await audit({"client_server": service.address}, *options)
        from_database = await audit({"database_url": database_url}, *options)
        assert through_service == from_database
        assert through_service.output


# From a database.


async def test_a_database_is_read_page_by_page_up_to_the_limit(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def open_connection() -> Iterator[Connection]:  # the command's own would configure the log of this process
        with create_plain_engine(database_url).begin() as connection:
            yield connection

    for _ in range(7):
        await create_location(service)
    monkeypatch.setenv("SPROCKET_DATABASE_URL", database_url)
    monkeypatch.setattr(database, "_PAGE_SIZE", 3)
    monkeypatch.setattr(database, "open_connection", open_connection)
    for limit in (5, 6, 7, 8):
        output = CliRunner().invoke(command.audit_command, ["--json", "--limit", str(limit)]).output
        shown = [json.loads(line)["id"] for line in output.splitlines()]
        assert shown == [each.id for each in await entries(service)][:limit]


def test_a_database_without_the_log_is_told_so(database_url: str) -> None:
    migrate.downgrade(database_url, "0001")
    finished = run("audit", database_url=database_url)
    finished.assert_refused()
    assert "run `sprocket-grpc migrate`" in finished.errors


# Through the service.


async def test_a_service_is_read_page_by_page_up_to_the_limit(database_url: str) -> None:
    async with running_service(database_url, Settings(page_size_default=2, page_size_maximum=3)) as service:
        for _ in range(7):
            await create_location(service)
        whole = ids(await audit({"database_url": database_url}, "--json"))
        assert len(whole) == 7
        for limit in (5, 6, 7, 8):
            finished = await audit({"client_server": service.address}, "--json", "--limit", str(limit))
            assert ids(finished) == whole[:limit]


def test_entries_since_a_time_are_asked_for_by_id_too_which_has_an_index() -> None:
    requests = []

    def answer(request: ListAuditEntriesRequest, _: grpc.ServicerContext) -> ListAuditEntriesResponse:
        requests.append(request)
        return ListAuditEntriesResponse()

    with audit_server(answer) as address:
        finished = run("audit", "--server", address, "--since", "2026-11-01T00:00:00.123456Z", "--limit", "7")
    assert finished == Finished(0, "", "")
    [request] = requests
    expected = 'id >= 01a19467-e87b-7000-8000-000000000000 AND create_time >= "2026-11-01T00:00:00.123456Z"'
    assert (request.filter, request.order_by, request.page_size) == (expected, "", 7)


async def test_a_server_that_authenticates_callers_wants_an_admin(database_url: str) -> None:
    async with running_service(database_url, Settings(api_keys=True)) as service:
        server = {"client_server": service.address}
        unknown = await audit(server)
        reader = await audit(server | {"client_api_key": create_key(database_url, "read").text})
        admin = await audit(server | {"client_api_key": create_key(database_url, "admin").text})
    for finished, expected in ((unknown, "--api-key-file"), (reader, "sprocket.audit_entries.read")):
        finished.assert_refused()
        assert expected in finished.errors
        assert finished.errors.count("\n") == 1
    assert (admin.status, admin.errors) == (0, "")
    assert admin.output.count(" created ApiKey ") == 2


def test_a_server_that_does_not_answer_is_named() -> None:
    finished = run("audit", "--server", "127.0.0.1:1", "--timeout", "0.1")
    finished.assert_refused()
    assert "127.0.0.1:1 does not answer" in finished.errors


# What is refused.


@pytest.mark.parametrize(
    "wrong",
    [("--resource", "7"), ("--since", "soon"), ("--limit", "0"), ("--principal", "\udcff"), ("--server", "")],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_named(wrong: tuple[str, str], database_url: str) -> None:
    finished = run("audit", *wrong, database_url=database_url)
    assert finished.status == 2
    assert wrong[0] in finished.errors
