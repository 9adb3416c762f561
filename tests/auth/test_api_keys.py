"""API keys: creation, listing, expiry and revocation; and request_ids, which are separate for every caller."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest
from sprocket_grpc.auth import api_key as keys
from sprocket_grpc.auth.api_key import ApiKeys
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.reads import Read
from tests.conformance.promises import refuses
from tests.support.callers import Metadata, bearer, create_key
from tests.support.command_line import run
from tests.support.resources import location
from tests.support.service import Service, running_service
from tests.support.terminal import run_in_terminal
from tests.support.waiting import until

pytestmark = pytest.mark.slow

MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d"
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Service]:
    """A server that requires API keys."""
    async with running_service(database_url, Settings(api_keys=True)) as running:
        yield running


async def list_locations(service: Service, metadata: Metadata) -> None:
    await service.locations.ListLocations(ListLocationsRequest(), metadata=metadata)


def change(url: str, statement: str) -> None:
    with create_plain_engine(url).begin() as connection:
        connection.execute(text(statement))


# The command.


async def test_a_key_is_made_used_listed_and_revoked(guarded: Service, database_url: str) -> None:
    made = await asyncio.to_thread(
        run, "api-key", "create", "dashboards", "--permission", "read", "--expires", "90d", database_url=database_url
    )
    key = made.output.strip()
    assert re.fullmatch("sprocket_[0-9a-f]{32}_[0-9a-f]{64}", key)
    await list_locations(guarded, bearer(key))
    listed = (await asyncio.to_thread(run, "api-key", "list", database_url=database_url)).output
    heading, line = listed.splitlines()
    assert re.fullmatch(r"ID {36}NAME {8}PERMISSIONS  VALID {19}LAST_USED", heading)
    assert re.fullmatch(rf"[0-9a-f-]{{36}}  dashboards  read {{9}}until {MINUTE}  never", line)
    assert key.rpartition("_")[2] not in listed + made.errors
    revoked = await asyncio.to_thread(run, "api-key", "revoke", line.split()[0], database_url=database_url)
    assert revoked.status == 0
    await asyncio.sleep(keys.CACHE_SECONDS)  # the time after which every server rejects a revoked key
    with refuses(*UNAUTHENTICATED):
        await list_locations(guarded, bearer(key))
    assert " revoked " in (await asyncio.to_thread(run, "api-key", "list", database_url=database_url)).output


def test_a_key_is_limited_to_permissions_of_single_services_and_to_factories(database_url: str) -> None:
    permissions = ["--permission", "sprockets.write", "--permission", "locations.read", "--permission", "force"]
    factories = [argument for each in (2, 1, 2) for argument in ("--factory", str(uuid.UUID(int=each)))]
    made = run("api-key", "create", "press", *permissions, *factories, database_url=database_url)
    assert made.status == 0
    _, key, limits = run("api-key", "list", database_url=database_url).output.splitlines()
    assert " force,locations.read,sprockets.write " in key
    assert limits == f"    limited to the factories {uuid.UUID(int=1)}, {uuid.UUID(int=2)}"


def test_the_old_name_of_an_option_works_and_is_in_no_help(database_url: str) -> None:
    made = run("api-key", "create", "press", "--right", "read", "--right=locations.write", database_url=database_url)
    assert made.status == 0
    assert " locations.write,read " in run("api-key", "list", database_url=database_url).output
    assert "--right" not in run("api-key", "create", "--help").output
    assert run("api-key", "create", "press").errors.endswith("Error: Missing option '--permission'.\n")


def test_in_a_narrow_terminal_a_key_is_a_list_of_its_fields_instead_of_a_broken_line(database_url: str) -> None:
    key = create_key(database_url, "read", name="東京")
    typed, *wide = run_in_terminal("api-key", "list", columns=120, database_url=database_url).output.splitlines()
    _, *narrow = run_in_terminal("api-key", "list", columns=80, database_url=database_url).output.splitlines()
    assert typed == "n"
    assert wide == [
        f"{'ID':36}  NAME  PERMISSIONS  VALID          LAST_USED",
        f"{key.id}  東京  read         until revoked  never",
    ]
    assert narrow == [
        f"id               {key.id}",
        "    name         東京",
        "    permissions  read",
        "    valid        until revoked",
        "    last_used    never",
    ]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("create", "dashboards"), 2),
        (("create", " ", "--permission", "read"), 2),
        (("create", "x" * 64, "--permission", "read"), 2),
        (("create", "dashboards", "--permission", "own"), 2),
        (("create", "dashboards", "--permission", "read", "--expires", "soon"), 2),
        (("create", "dashboards", "--permission", "read", "--expires", "0d"), 2),
        (("revoke", "dashboards"), 2),
        (("revoke", str(uuid.UUID(int=1))), 1),
    ],
)
def test_invalid_arguments_are_reported(database_url: str, arguments: tuple[str, ...], status: int) -> None:
    finished = run("api-key", *arguments, database_url=database_url)
    assert finished.status == status
    assert "Error: " in finished.errors
    assert "Traceback" not in finished.errors


def test_no_secret_is_in_the_database(database_url: str) -> None:
    secret = create_key(database_url, "read").text.rpartition("_")[2]
    with create_plain_engine(database_url).connect() as connection:
        [row] = connection.execute(text("SELECT api_key::text FROM api_key")).all()
    assert secret not in str(row)


# Authentication.


async def test_an_expired_key_is_refused(guarded: Service, database_url: str) -> None:
    made = create_key(database_url, "read", hours=1)
    change(database_url, "UPDATE api_key SET expire_time = now()")
    with refuses(*UNAUTHENTICATED):
        await list_locations(guarded, bearer(made.text))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", "Bearer" + " " * 9])
async def test_a_key_follows_the_scheme_in_any_case_and_one_or_more_spaces(
    guarded: Service, database_url: str, scheme: str
) -> None:
    await list_locations(guarded, (("authorization", scheme + create_key(database_url, "read").text),))


@pytest.mark.parametrize("credentials", ["Bearer{}", "Bearer {} {}", "Bearer x {}", "Basic {}", "{}"])
async def test_a_key_in_another_form_is_refused(guarded: Service, database_url: str, credentials: str) -> None:
    key = create_key(database_url, "read").text
    with refuses(*UNAUTHENTICATED):
        await list_locations(guarded, (("authorization", credentials.format(key, key)),))


async def test_concurrent_calls_share_one_look_up_and_a_revoked_key_is_noticed_when_the_cache_expires(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up, clock, read = [], [0.0], api_key.read

    def counted(identifier: str) -> Read[api_key.ValidKey | None]:
        looked_up.append(identifier)
        return read(identifier)

    monkeypatch.setattr(api_key, "read", counted)
    database, made = Database(database_url), create_key(database_url, "read")
    known = ApiKeys(database, lambda: clock[0])
    assert all(await asyncio.gather(*(known.identify(made.text) for _ in range(50))))
    assert len(looked_up) == 1
    change(database_url, "UPDATE api_key SET revoke_time = now()")
    clock[0] = keys.CACHE_SECONDS + 0.1
    assert await known.identify(made.text) is None
    await database.close()


async def test_a_cancelled_call_does_not_cancel_the_look_up_of_the_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, made = Database(database_url), create_key(database_url, "read")
    read, asked, may_answer = database.read, asyncio.Event(), asyncio.Event()

    async def slow(what: Read[Any]) -> Any:
        asked.set()
        await may_answer.wait()
        return await read(what)

    monkeypatch.setattr(database, "read", slow)
    known = ApiKeys(database)
    first, *others = (asyncio.create_task(known.identify(made.text)) for _ in range(5))
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    may_answer.set()
    assert all(await asyncio.gather(*others))
    await database.close()


async def test_an_unavailable_database_is_not_reported_as_an_invalid_key(guarded: Service, database_url: str) -> None:
    made = create_key(database_url, "read")
    change(database_url, "ALTER TABLE api_key RENAME TO gone")
    with refuses(grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DATABASE_UNAVAILABLE"):
        await list_locations(guarded, bearer(made.text))
    change(database_url, "ALTER TABLE gone RENAME TO api_key")
    await list_locations(guarded, bearer(made.text))  # the failure is not cached


async def test_the_last_use_is_recorded_once_a_minute(database_url: str) -> None:
    database, made = Database(database_url), create_key(database_url, "read")
    known = ApiKeys(database)
    uses = []
    for _ in range(2):
        await known.identify(made.text)
        await known.record_uses()
        with create_plain_engine(database_url).connect() as connection:
            uses.append(connection.scalar(text("SELECT last_use_time FROM api_key")))
    assert uses[0] is not None
    assert uses[0] == uses[1]
    await database.close()


async def test_the_last_use_is_recorded_again_after_an_outage_of_the_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[set[str]] = []

    def record(_: object, used: set[str]) -> None:
        recorded.append(used)
        if len(recorded) == 1:
            raise UnavailableError

    monkeypatch.setattr(keys, "USE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(api_key, "record_use", record)
    database, made = Database(database_url), create_key(database_url, "read")
    known = ApiKeys(database)
    upkeep = asyncio.create_task(known.maintain())
    await known.identify(made.text)
    await until(lambda: len(recorded) == 1)
    await known.identify(made.text)
    await until(lambda: len(recorded) == 2 or upkeep.done())
    assert not upkeep.done()
    upkeep.cancel()
    await database.close()


async def test_strangers_who_try_ids_fill_no_memory(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_MOST_CACHED", 5)
    database = Database(database_url)
    known = ApiKeys(database)
    for number in range(20):
        assert await known.identify(f"sprocket_{number:032x}_{'0' * 64}") is None
    assert len(known._cache) == 5
    await database.close()


# Request ids.


async def test_the_request_id_of_another_caller_counts_as_a_new_one(guarded: Service, database_url: str) -> None:
    callers = [bearer(create_key(database_url, "write", name=name).text) for name in ("one", "two")]
    request = CreateLocationRequest(location=location(), request_id=str(uuid.uuid4()))
    answers = [await guarded.locations.CreateLocation(request, metadata=each) for each in (*callers, *callers)]
    assert answers[:2] == answers[2:]
    assert answers[0].location.id != answers[1].location.id


async def test_the_audit_log_names_the_key_and_the_call(guarded: Service, database_url: str) -> None:
    caller = (*bearer(create_key(database_url, "write").text), ("x-request-id", "mine"))
    await guarded.locations.CreateLocation(CreateLocationRequest(location=location()), metadata=caller)
    with create_plain_engine(database_url).connect() as connection:
        [entry] = connection.execute(text("SELECT principal, request_id, method FROM audit_entry WHERE method <> ''"))
    assert entry.principal.startswith("api-key:")
    assert entry[1:] == ("mine", "/sprocket.v1.LocationService/CreateLocation")
