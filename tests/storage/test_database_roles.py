"""The two roles of deploy/postgresql: one for migrations, and one for the server, with the privileges that it needs."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from sprocket.v1.audit_pb2 import ListAuditEntriesRequest
from sprocket.v1.location_pb2 import DeleteLocationRequest, ListLocationsRequest
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute, new_database
from tests import ROOT
from tests.support.command_line import run
from tests.support.production import update_factory
from tests.support.resources import create_factory, create_location, create_sprocket
from tests.support.service import running_service

pytestmark = pytest.mark.slow

SQL = ROOT / "deploy" / "postgresql"
DENIED = "must be owner|permission denied"


class Roles(NamedTuple):
    """The URLs of one database for both roles."""

    owner: str
    server: str


@pytest.fixture(scope="module")
def roles(postgres: str) -> Iterator[Roles]:
    """A migrated database with the roles of the SQL files, under unique names: databases share their roles."""
    suffix = uuid.uuid4().hex
    names = {name: f"{name}_{suffix}" for name in ("sprocket_owner", "sprocket_server")}
    with new_database(postgres, "template1") as url:
        try:
            _run_file(url, "roles.sql", names)
            for name in names.values():
                execute(url, f"ALTER ROLE {name} PASSWORD '{suffix}'")
            owner, server = (make_url(url).set(username=name, password=suffix) for name in names.values())
            made = Roles(owner.render_as_string(hide_password=False), server.render_as_string(hide_password=False))
            migrate.upgrade(made.owner)
            _run_file(made.owner, "after-first-migration.sql", names)
            yield made
        finally:
            for name in names.values():
                execute(url, f"DROP OWNED BY {name} CASCADE")
                execute(url, f"DROP ROLE {name}")


def _run_file(url: str, name: str, names: dict[str, str]) -> None:
    statements = (SQL / name).read_text()
    for role, renamed in names.items():
        statements = statements.replace(role, renamed)
    with create_plain_engine(url).begin() as connection:
        connection.exec_driver_sql(statements)


async def test_the_server_role_has_all_privileges_that_it_needs(roles: Roles) -> None:
    made = await asyncio.to_thread(run, "api-key", "create", "dashboards", "--right", "read", database_url=roles.server)
    assert made.status == 0, made
    async with running_service(roles.server) as service:
        await service.monitor.check()
        assert service.monitor.problem is None
        factory = await create_factory(service)
        await create_sprocket(service, factory_id=factory.id)
        await update_factory(service, factory.id, sprocket_production_goal=7)
        spare = await create_location(service)
        page = await service.locations.ListLocations(ListLocationsRequest(page_size=1))
        assert page.next_page_token
        await service.locations.DeleteLocation(DeleteLocationRequest(id=spare.id, request_id=str(uuid.uuid4())))
        entries = await service.audit.ListAuditEntries(ListAuditEntriesRequest())
        assert len(entries.audit_entries) >= 6


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE factory",
        "ALTER TABLE factory ADD COLUMN colour text",
        "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
        "TRUNCATE audit_entry",
        "SET LOCAL sprocket.remove_audit_entries = 'on'; DELETE FROM audit_entry",
        "UPDATE audit_entry SET principal = 'anonymous'",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE TABLE mine (id int)",
    ],
)
def test_the_server_role_can_change_neither_tables_nor_the_audit_log(roles: Roles, statement: str) -> None:
    engine = create_plain_engine(roles.server)
    with pytest.raises(ProgrammingError, match=DENIED), engine.begin() as connection:
        connection.execute(text(statement))
