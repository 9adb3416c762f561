"""The server's role has the privileges that every call and background task of the server needs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from sprocket.v1.audit_pb2 import ListAuditEntriesRequest
from sprocket.v1.factory_pb2 import (
    DeleteFactoryRequest,
    FollowFactoryChartsRequest,
    GetFactoryChartRequest,
)
from sprocket.v1.location_pb2 import DeleteLocationRequest
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket.v1.sprocket_type_pb2 import DeleteSprocketTypeRequest
from sprocket_grpc.auth.api_key import ApiKeys
from sprocket_grpc.server.audit_upkeep import AuditUpkeep
from sprocket_grpc.services.charts.expiry import Expiry
from sprocket_grpc.storage import idempotency, migrate
from sprocket_grpc.storage.grants import PRIVILEGES
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_definitions import partitions
from sprocket_grpc.storage.tables import metadata
from tests.conformance.writes import Maker, every_write
from tests.support.auditing import entries
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.charts import pack
from tests.support.command_line import run
from tests.support.migrations import BEFORE_PROTECTION
from tests.support.resources import (
    CASES,
    SPROCKET,
    Case,
    create_factory,
    create_location,
    create_sprocket,
    create_sprocket_type,
)
from tests.support.roles import Roles, database_with_roles
from tests.support.service import Service, running_service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def roles(postgres: str) -> Iterator[Roles]:
    with database_with_roles(postgres) as made:
        yield made


@pytest.fixture
async def service(roles: Roles) -> AsyncIterator[Service]:
    """A server that connects as the server's role."""
    async with running_service(roles.server) as running:
        yield running


def test_every_table_has_its_privileges() -> None:
    assert {table.name for table in PRIVILEGES} == set(metadata.tables), "storage/grants.py lacks a table"


# Calls.


@every_write
async def test_every_write_has_its_privileges(service: Service, make: Maker) -> None:
    write = await make(service)
    await write.send(service, validate_only=True)
    request_id = str(uuid.uuid4())
    for _ in range(2):  # the second is answered from the record
        await write.send(service, request_id=request_id)
    await assert_books_agree(service)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_read_and_an_upsert_have_their_privileges(service: Service, case: Case) -> None:
    made = [await case.create(service) for _ in range(2)]
    assert await case.get(service, made[0].id) == made[0]
    page, token = await case.page(service, page_size=1, show_total_size=True, order_by="update_time desc")
    assert page
    assert token
    message = await case.message(service)
    message.id = str(uuid.uuid4())
    request = case.request("Update", **{case.name: message}, allow_missing=True)
    await case.method(service, "Update")(request)
    assert (await case.get(service, message.id)).id == message.id


async def test_concurrent_creations_in_one_factory_have_their_privileges(service: Service) -> None:
    factory, kind = await create_factory(service), await create_sprocket_type(service)
    ids = {"factory_id": factory.id, "sprocket_type_id": kind.id}
    await asyncio.gather(*(create_sprocket(service, **ids) for _ in range(20)))
    await assert_books_agree(service)


async def test_cascading_deletions_have_their_privileges(service: Service) -> None:
    kind = await create_sprocket_type(service)
    factories = [await create_factory(service) for _ in range(3)]
    for factory in factories:
        await create_sprocket(service, factory_id=factory.id, sprocket_type_id=kind.id)
    first, second, _ = factories
    await service.factories.DeleteFactory(DeleteFactoryRequest(id=first.id, force=True))
    await service.locations.DeleteLocation(DeleteLocationRequest(id=second.location_id, force=True))
    await service.sprocket_types.DeleteSprocketType(DeleteSprocketTypeRequest(id=kind.id, force=True))
    await assert_books_agree(service)


async def test_charts_are_packed_by_the_server_role_and_read_as_before(service: Service) -> None:
    factory_id = (await create_sprocket(service)).factory_id
    before = await numbers_of(service, factory_id)
    await pack(service, factory_id, 1)
    assert await query(service, "SELECT count(*) FROM chart_page") == [(len(before),)]
    assert await numbers_of(service, factory_id) == before


async def test_entries_of_charts_expire_by_the_server_role(service: Service, roles: Roles) -> None:
    factory_id = (await create_sprocket(service)).factory_id
    with create_plain_engine(roles.owner).begin() as connection:
        connection.execute(text("UPDATE chart_entry SET time_micros = time_micros - 86400000000 * 9"))
        connection.execute(text("INSERT INTO chart_retention VALUES (7)"))
        connection.execute(text("INSERT INTO chart_expiry (id) VALUES (1) ON CONFLICT DO NOTHING"))
    expiry = Expiry(service.database, 7)
    while await expiry.step() is not None:
        pass
    assert len(await numbers_of(service, factory_id)) == 1


async def test_charts_and_the_audit_log_can_be_read_and_followed(service: Service) -> None:
    sprocket = await create_sprocket(service)
    request = GetFactoryChartRequest(factory_id=sprocket.factory_id)
    [response] = [each async for each in service.factories.GetFactoryChart(request)]
    assert len(response.chart.time_micros) == 2
    stream = service.factories.FollowFactoryCharts(FollowFactoryChartsRequest(factory_ids=[sprocket.factory_id]))
    await anext(aiter(stream))
    stream.cancel()
    log = await service.audit.ListAuditEntries(ListAuditEntriesRequest(page_size=1))
    assert log.next_page_token


# The rest of the server, and commands.


async def test_the_server_is_healthy_and_purges_expired_requests(service: Service, roles: Roles) -> None:
    await service.monitor.check()
    assert service.monitor.problem is None
    spare = await create_location(service)
    await service.locations.DeleteLocation(DeleteLocationRequest(id=spare.id, request_id=str(uuid.uuid4())))
    with create_plain_engine(roles.superuser).begin() as connection:
        expired = connection.execute(text("UPDATE recorded_request SET create_time = '2001-01-01'")).rowcount
    assert await service.database.run(idempotency.purge, 24) == expired > 0


async def test_the_server_keeps_the_partitions_of_the_audit_log(service: Service, roles: Roles) -> None:
    await asyncio.to_thread(migrate.upgrade, roles.owner, role=roles.server_name, audit_retention_days=30)
    with create_plain_engine(roles.owner).begin() as connection:
        complete = partitions(connection)
        connection.execute(text(f"DROP TABLE {complete[3]}, audit_entry_first"))
        connection.execute(text("SELECT create_audit_partition('2020-05-01')"))
    await AuditUpkeep(service.database, 30).run()
    with create_plain_engine(roles.owner).begin() as connection:
        kept = partitions(connection)
        assert set(complete) - {"audit_entry_first"} <= set(kept)
        assert "audit_entry_2020_05" not in kept
    await AuditUpkeep(service.database, 30).run()


async def test_keys_of_the_owner_are_looked_up_listed_and_their_use_is_recorded(service: Service, roles: Roles) -> None:
    created = await asyncio.to_thread(run, "api-key", "create", "new", "--permission", "read", database_url=roles.owner)
    keys = ApiKeys(service.database)
    identity = await keys.identify(created.output.strip())
    assert identity is not None
    assert identity.principal == "api-key:new"
    await keys.record_uses()
    listed = await asyncio.to_thread(run, "api-key", "list", database_url=roles.server)
    assert "last used never" not in listed.output
    assert "new" in listed.output
    [entry, *_] = await entries(service, 'resource_type = "ApiKey"')
    assert entry.after["name"] == "new"


@pytest.mark.parametrize("arguments", [["create", "mine", "--permission", "admin"], ["revoke", str(uuid.UUID(int=7))]])
def test_the_server_role_is_told_that_the_owner_manages_keys(roles: Roles, arguments: list[str]) -> None:
    refused = run("api-key", *arguments, database_url=roles.server)
    refused.assert_refused()
    assert "only the owner of the tables manages API keys" in refused.errors


# Granting.


async def test_granting_again_takes_back_what_the_role_was_given_beside_it(roles: Roles) -> None:
    with create_plain_engine(roles.owner).begin() as connection:
        connection.execute(text(f"GRANT ALL ON audit_entry, api_key, chart_entry TO {roles.server_name}"))
        connection.execute(text(f"GRANT UPDATE (id) ON location TO {roles.server_name}"))
        connection.execute(
            text(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO {roles.server_name}")
        )
    command = await asyncio.to_thread(run, "migrate", "--grant", roles.server_name, database_url=roles.owner)
    assert command.status == 0, command
    with create_plain_engine(roles.owner).begin() as connection:
        connection.execute(text("CREATE TABLE later (id int)"))
        for table, column, kind in (
            ("audit_entry", "id", "INSERT"),
            ("api_key", "rights", "UPDATE"),
            ("chart_entry", "sequence", "UPDATE"),
            ("location", "id", "UPDATE"),
            ("later", "id", "INSERT"),
        ):
            has = connection.scalar(
                text("SELECT has_column_privilege(:role, :table, :column, :kind)"),
                {"role": roles.server_name, "table": table, "column": column, "kind": kind},
            )
            assert has is False, table
        connection.rollback()


@pytest.mark.parametrize("arguments", [["--check"], ["--down", "0001"], ["0006"]], ids=" ".join)
def test_privileges_are_granted_with_the_newest_schema_only(roles: Roles, arguments: list[str]) -> None:
    command = run("migrate", *arguments, "--grant", roles.server_name, database_url=roles.owner)
    assert command.status == 2
    assert "--grant is for the newest schema" in command.errors


async def test_the_server_can_write_after_a_downgrade_too(postgres: str) -> None:
    with database_with_roles(postgres) as roles:
        migrate.downgrade(roles.owner, BEFORE_PROTECTION)
        async with running_service(roles.server) as service:
            await create_sprocket(service)
            assert len(await entries(service)) == 4
        migrate.upgrade(roles.owner, role=roles.server_name)
        async with running_service(roles.server) as service:
            await create_sprocket(service)
            assert len(await entries(service)) == 8


async def test_no_call_fails_while_the_protection_is_reverted_and_applied(postgres: str) -> None:
    with database_with_roles(postgres) as roles:
        async with running_service(roles.server) as service:
            factory, kind = await create_factory(service), await create_sprocket_type(service)
            ids = {"factory_id": factory.id, "sprocket_type_id": kind.id}
            migrated = asyncio.Event()

            async def write() -> int:
                written = 0
                while not migrated.is_set():
                    made = await create_sprocket(service, **ids)
                    await SPROCKET.update(service, Sprocket(id=made.id, display_name="x"))
                    await SPROCKET.delete(service, made.id)
                    written += 3
                return written

            writers = [asyncio.create_task(write()) for _ in range(3)]
            for _ in range(3):
                await asyncio.to_thread(migrate.downgrade, roles.owner, BEFORE_PROTECTION)
                await asyncio.to_thread(migrate.upgrade, roles.owner, role=roles.server_name)
            migrated.set()
            written = sum(await asyncio.gather(*writers))
            logged = ListAuditEntriesRequest(page_size=1, show_total_size=True)
            assert (await service.audit.ListAuditEntries(logged)).total_size == written + 3


def test_a_role_that_does_not_exist_is_named_and_nothing_changes(empty_database_url: str) -> None:
    with pytest.raises(migrate.MigrationError, match='role "nobody_there" does not exist'):
        migrate.upgrade(empty_database_url, role="nobody_there")
