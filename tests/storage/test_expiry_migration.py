"""The migration that lets charts expire: who may have entries deleted, older servers, and the way back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.chart_pages import enable_packing
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.migrations import BEFORE_EXPIRY
from tests.support.roles import Roles, database_with_roles

pytestmark = pytest.mark.slow

EXPIRE = "SELECT expire_chart_before(id, 9223372036854775807, 5) FROM factory"


def is_enabled(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT count(*) FROM chart_expiry")))


def entries(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM chart_entry")) or 0)


# Older servers, and the way back.


def test_older_servers_are_known_to_be_gone_in_a_new_database_or_when_the_owner_says_so(
    empty_database_url: str,
) -> None:
    engine = create_plain_engine(empty_database_url)
    migrate.upgrade(empty_database_url)
    with engine.begin() as connection:
        assert is_enabled(connection)
        seed(connection)
    migrate.downgrade(empty_database_url, BEFORE_EXPIRY)
    migrate.upgrade(empty_database_url)
    with engine.begin() as connection:
        assert not is_enabled(connection)
        for _ in range(2):
            enable_packing(connection)
            assert is_enabled(connection)


def test_it_is_not_reverted_once_entries_have_expired(database_url: str) -> None:
    engine = create_plain_engine(database_url)
    with engine.begin() as connection:
        seed(connection)
        connection.execute(text(EXPIRE))
        before = entries(connection)
    with pytest.raises(migrate.MigrationError, match="entries of charts have expired"):
        migrate.downgrade(database_url, BEFORE_EXPIRY)
    migrate.check(database_url)
    with engine.connect() as connection:
        assert entries(connection) == before


@pytest.mark.parametrize("days", [None, 400])
def test_migrating_records_how_long_entries_are_kept(database_url: str, days: int | None) -> None:
    migrate.upgrade(database_url, audit_retention_days=7, chart_retention_days=1)
    migrate.upgrade(database_url, audit_retention_days=7, chart_retention_days=days)
    with create_plain_engine(database_url).connect() as connection:
        assert connection.scalars(text("SELECT days FROM chart_retention")).all() == ([] if days is None else [days])
        assert connection.scalars(text("SELECT days FROM audit_retention")).all() == [7]


# The role of the server.


@pytest.fixture(scope="module")
def roles(postgres: str) -> Iterator[Roles]:
    """A database with the sample data, whose charts end in 2021, and of which the owner keeps a hundred years."""
    with database_with_roles(postgres) as made:
        with create_plain_engine(made.owner).begin() as connection:
            seed(connection)
            connection.execute(text("INSERT INTO chart_retention VALUES (36500)"))
        yield made


@pytest.fixture
def attacker(roles: Roles) -> Iterator[Connection]:
    """A connection as the server's role, whose transaction is rolled back in the end."""
    with create_plain_engine(roles.server).connect() as connection:
        yield connection


@pytest.mark.parametrize("days", ["1", "36499", "0", "-1", "NULL", "-2147483648"])
def test_the_server_role_deletes_no_entries_that_the_owner_keeps(attacker: Connection, days: str) -> None:
    with pytest.raises(ProgrammingError, match="the owner of the charts does not allow to delete entries"):
        attacker.execute(text(f"SELECT expire_chart(id, {days}, 9) FROM factory"))  # noqa: S608  # our own


@pytest.mark.parametrize("most", ["9", "0", "-1", "2147483647", "-2147483648", "NULL"])
def test_the_server_role_has_no_younger_entries_deleted_by_other_arguments(attacker: Connection, most: str) -> None:
    before = entries(attacker)
    for days in (36500, 100_000_000):
        attacker.execute(text(f"SELECT expire_chart(id, {days}, {most}) FROM factory"))  # noqa: S608  # our own
    assert entries(attacker) == before


def test_the_server_role_has_entries_deleted_that_the_owner_allows(roles: Roles, attacker: Connection) -> None:
    with create_plain_engine(roles.owner).begin() as owner:
        owner.execute(text("UPDATE chart_retention SET days = 1"))
    try:
        attacker.execute(text("SELECT expire_chart(id, 1, 1000) FROM factory"))
        assert entries(attacker) == attacker.scalar(text("SELECT count(*) FROM factory"))
    finally:
        attacker.rollback()
        with create_plain_engine(roles.owner).begin() as owner:
            owner.execute(text("UPDATE chart_retention SET days = 36500"))


@pytest.mark.parametrize("table", ["audit_retention", "chart_retention"])
def test_the_owner_records_no_days_by_accident(database_url: str, table: str) -> None:
    with (
        create_plain_engine(database_url).connect() as owner,
        pytest.raises(IntegrityError, match='null value in column "days"'),
    ):
        owner.execute(text(f"INSERT INTO {table} DEFAULT VALUES"))  # our own
