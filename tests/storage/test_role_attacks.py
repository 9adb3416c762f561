"""What somebody can do who has the server's database role: neither the audit log nor the API keys are in its reach.

It can write resources and charts, as the server does, and name any caller. Each such write of a resource has an entry.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.storage.tables import factory
from tests.support.roles import Roles, database_with_roles

pytestmark = pytest.mark.slow

DENIED = "must be owner|permission denied"
ADD_KEY = """
INSERT INTO api_key (id, name, rights, secret_hash)
VALUES (gen_random_uuid(), 'mine', '{admin}', decode(repeat('00', 32), 'hex'))
"""
ADD_ENTRY = """
INSERT INTO audit_entry
VALUES (gen_random_uuid(), '2001-01-01', 'api-key:other', '', '', 'sprocket.v1.Location', gen_random_uuid(), null, null)
"""
CREATE = """
INSERT INTO location (id, display_name, address, address_2, city, administrative_area, postal_code, country_code)
VALUES (gen_random_uuid(), 'a', 'b', '', 'c', '', 'd', 'CH')
"""

REFUSED = {
    "drop a table": "DROP TABLE factory",
    "alter a table": "ALTER TABLE factory ADD COLUMN colour text",
    "make a table": "CREATE TABLE mine (id int)",
    "make a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "make a temporary table": "CREATE TEMPORARY TABLE audit_entry (id int)",
    "claim another revision": "UPDATE alembic_version SET version_num = '0001'",
    "disable the log's guard": "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "disable the log of a table": "ALTER TABLE factory DISABLE TRIGGER audit_update",
    "drop the log of a table": "DROP TRIGGER audit_update ON factory",
    "replace the log's function": "CREATE OR REPLACE FUNCTION audit_update() RETURNS trigger LANGUAGE plpgsql AS ''",
    "alter the log's function": "ALTER FUNCTION audit_update() SECURITY INVOKER",
    "attach the log's function": "CREATE TRIGGER mine AFTER INSERT ON location EXECUTE FUNCTION audit_update('x')",
    "disable all triggers": "SET session_replication_role = 'replica'",
    "become the owner": "SET ROLE {owner}",
    "add an entry": ADD_ENTRY,
    "change entries": "UPDATE audit_entry SET principal = 'anonymous'",
    "delete entries": "DELETE FROM audit_entry",
    "delete entries as documented": "SET LOCAL sprocket.remove_audit_entries = 'on'; DELETE FROM audit_entry",
    "truncate the log": "TRUNCATE audit_entry",
    "lock the log": "LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE",
    "read a partition": "SELECT FROM audit_entry_default",
    "allow itself to drop entries": "INSERT INTO audit_retention VALUES (1)",
    "make a partition": "SELECT create_audit_partition('2001-01-01')",
    "drop a partition": "DROP TABLE audit_entry_first",
    "detach a partition": "ALTER TABLE audit_entry DETACH PARTITION audit_entry_first",
    "truncate resources": "TRUNCATE location, factory, sprocket, chart_entry",
    "truncate types": "TRUNCATE sprocket_type CASCADE",
    "move a resource to another id": "UPDATE location SET id = gen_random_uuid()",
    "back-date a creation": "INSERT INTO location (id, create_time) VALUES (gen_random_uuid(), '2001-01-01')",
    "change a creation's time": "UPDATE location SET create_time = '2001-01-01'",
    "add a key": ADD_KEY,
    "add a permission": "UPDATE api_key SET rights = '{admin}'",
    "replace a secret": "UPDATE api_key SET secret_hash = decode(repeat('00', 32), 'hex')",
    "bring back a key": "UPDATE api_key SET revoke_time = NULL",
    "extend a key": "UPDATE api_key SET expire_time = NULL, last_use_time = now()",
    "delete a key": "DELETE FROM api_key",
    "add a token key": "INSERT INTO page_token_key (key) VALUES (decode(repeat('00', 32), 'hex'))",
    "change a token key": "UPDATE page_token_key SET key = decode(repeat('00', 32), 'hex')",
    "delete a token key": "DELETE FROM page_token_key",
    "change a chart": "UPDATE chart_entry SET sprocket_production_actual = 0",
    "move a chart in time": "UPDATE chart_entry SET time_micros = 0",
    "delete a chart": "DELETE FROM chart_entry",
    "truncate charts": "TRUNCATE chart_entry",
    "add a page of a chart": "INSERT INTO chart_page SELECT * FROM chart_page",
    "change a page of a chart": "UPDATE chart_page SET wire = ''",
    "delete a page of a chart": "DELETE FROM chart_page",
    "move the beginning of a chart": "INSERT INTO chart_start VALUES (gen_random_uuid(), 9, 9)",
    "move the beginning of a chart back": "UPDATE chart_start SET first_sequence = 2",
    "forget the beginning of a chart": "DELETE FROM chart_start",
    "allow itself to delete entries of charts": "INSERT INTO chart_retention VALUES (1)",
    "delete entries of charts of any age": "SELECT expire_chart_before(id, 9, 9) FROM factory",
    "allow beginnings of charts to expire": "INSERT INTO chart_expiry (id) VALUES (1)",
    "allow pages": "INSERT INTO chart_packing (id) VALUES (1)",
    "call a part of the packer": "SELECT chart_checksum('')",
    "date a record ahead": "INSERT INTO recorded_request (id, create_time) VALUES (gen_random_uuid(), '2101-01-01')",
}

LOGGED = {
    "created": (CREATE, 1),
    "updated": ("UPDATE location SET city = 'Shelbyville'", 3),
    "updated twice at once": ("UPDATE factory SET display_name = 'a', update_time = clock_timestamp()", 3),
    "with a move of the chart": ("UPDATE factory SET display_name = 'a', chart_sequence = chart_sequence + 1", 3),
    "with a counter but no move": ("UPDATE factory SET sprocket_production_actual = 0", 3),
    "deleted": ("DELETE FROM sprocket", 93),
    "deleted with its chart": ("DELETE FROM sprocket; DELETE FROM factory", 96),
    "in another search path": (
        "SET LOCAL search_path = pg_temp, pg_catalog, public; UPDATE location SET city = 'a'",
        3,
    ),
    "in the name of nobody": ("SET LOCAL sprocket.caller = ''; UPDATE location SET city = 'a'", 3),
}

UPDATES = {
    "display_name": "'a'",
    "id": "gen_random_uuid()",
    "create_time": "now()",
    "update_time": "now()",
    "location_id": "(SELECT id FROM location ORDER BY id DESC LIMIT 1)",
    "sprocket_production_goal": "sprocket_production_goal + 1",
}
COUNTED = {"sprocket_production_actual", "chart_sequence", "chart_time_micros"}


@pytest.fixture(scope="module")
def roles(postgres: str) -> Iterator[Roles]:
    """A database with the sample data and a revoked API key."""
    with database_with_roles(postgres) as made:
        with create_plain_engine(made.owner).begin() as connection:
            seed(connection)
            connection.execute(text(ADD_KEY))
            connection.execute(text("UPDATE api_key SET rights = '{read}', revoke_time = now()"))
        yield made


@pytest.fixture
def attacker(roles: Roles) -> Iterator[Connection]:
    """A connection as the server's role, whose transaction is rolled back in the end."""
    with create_plain_engine(roles.server).connect() as connection:
        yield connection


@pytest.fixture
def owner(roles: Roles) -> Iterator[Connection]:
    """A connection as the owner of the tables, whose transaction is rolled back in the end."""
    with create_plain_engine(roles.owner).connect() as connection:
        yield connection


def count(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM public.audit_entry")) or 0)


def newest(connection: Connection) -> tuple[str, bool]:
    """Return the principal of the newest entry, and whether it is of this transaction's time."""
    query = (
        "SELECT principal, create_time BETWEEN now() AND clock_timestamp() FROM audit_entry ORDER BY id DESC LIMIT 1"
    )
    principal, is_now = connection.execute(text(query)).one()
    return principal, is_now


# As the server's role.


@pytest.mark.parametrize("attack", REFUSED)
def test_the_server_role_cannot(attacker: Connection, roles: Roles, attack: str) -> None:
    statement = REFUSED[attack].replace("{owner}", roles.owner_name)
    with pytest.raises(ProgrammingError, match=DENIED):
        attacker.execute(text(statement))


@pytest.mark.parametrize("write", LOGGED)
def test_what_the_server_role_can_write_has_an_entry_for_each_resource(attacker: Connection, write: str) -> None:
    statement, number = LOGGED[write]
    before = count(attacker)
    attacker.execute(text(statement))
    assert count(attacker) == before + number
    assert newest(attacker) == (f"database:{attacker.engine.url.username}", True)


def test_the_server_role_can_name_any_caller_but_no_other_time(attacker: Connection) -> None:
    attacker.execute(
        text("""SET LOCAL sprocket.caller = '{"principal": "api-key:other", "create_time": "2001-01-01"}'""")
    )
    attacker.execute(text("UPDATE location SET city = 'a'"))
    assert newest(attacker) == ("api-key:other", True)


def test_the_server_role_can_call_the_packer_and_attach_no_function_of_ours_to_a_table_of_its_own(
    attacker: Connection,
) -> None:
    query = """
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(oid, 'EXECUTE')
    """
    allowed = {"create_audit_partitions", "drop_expired_audit_partition", "expire_chart", "pack_chart"}
    assert set(attacker.scalars(text(query))) == allowed


@pytest.mark.parametrize("days", ["1", "364", "0", "-1", "NULL"])
def test_the_server_role_drops_no_entries_that_the_owner_keeps(roles: Roles, attacker: Connection, days: str) -> None:
    with create_plain_engine(roles.owner).begin() as owner:
        owner.execute(text("DELETE FROM audit_retention"))
        owner.execute(text("INSERT INTO audit_retention VALUES (365)"))
    with pytest.raises(ProgrammingError, match="the owner of the audit log does not allow to drop entries"):
        attacker.execute(text(f"SELECT drop_expired_audit_partition({days})"))


def test_the_server_role_may_ask_for_partitions_and_for_the_drop_of_expired_ones(
    roles: Roles, attacker: Connection
) -> None:
    with create_plain_engine(roles.owner).begin() as owner:
        owner.execute(text("DELETE FROM audit_retention"))
        owner.execute(text("INSERT INTO audit_retention VALUES (365)"))
    assert attacker.scalar(text("SELECT create_audit_partitions()")) is False
    assert attacker.scalar(text("SELECT drop_expired_audit_partition(36500)")) is None


# As the owner, who may make temporary tables again.


def test_a_temporary_table_of_the_same_name_catches_no_entry(roles: Roles) -> None:
    with create_plain_engine(roles.superuser).connect() as connection:
        before = count(connection)
        connection.execute(text("CREATE TEMPORARY TABLE audit_entry (LIKE public.audit_entry)"))
        connection.execute(text("CREATE TEMPORARY TABLE added (LIKE location)"))
        connection.execute(text("SET LOCAL search_path = pg_temp, public"))
        for statement in (CREATE, "UPDATE location SET city = 'a'", "DELETE FROM sprocket", "DELETE FROM api_key"):
            connection.execute(text(statement))
        assert connection.scalar(text("SELECT count(*) FROM pg_temp.audit_entry")) == 0
        assert count(connection) == before + 1 + 4 + 93 + 1


@pytest.mark.parametrize("column", sorted({column.name for column in factory.c} - COUNTED))
def test_no_update_of_a_factory_is_taken_for_counting(owner: Connection, column: str) -> None:
    owner.execute(text("DELETE FROM sprocket"))
    owner.execute(text("DELETE FROM chart_entry"))
    before = count(owner)
    changed = f"UPDATE factory SET {column} = {UPDATES[column]}, chart_sequence = chart_sequence + 1"  # noqa: S608  # our own
    written = owner.execute(text(f"{changed} WHERE display_name LIKE '%1'")).rowcount
    assert (written, count(owner)) == (1, before + 1)


def test_counting_alone_has_no_entry(owner: Connection) -> None:
    before = count(owner)
    changes = ", ".join(f"{column} = {column} + 1" for column in COUNTED)
    owner.execute(text(f"UPDATE factory SET {changes}"))  # noqa: S608  # our own
    assert count(owner) == before


@pytest.mark.parametrize("table", ["location", "sprocket_type", "factory", "sprocket", "api_key"])
def test_truncate_is_refused_because_it_would_leave_no_entries(owner: Connection, table: str) -> None:
    with pytest.raises(DBAPIError, match="is refused: it would leave no entries in the audit log"):
        owner.execute(text(f"TRUNCATE {table} CASCADE"))


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        (ADD_KEY, {"name", "rights"}),
        ("UPDATE api_key SET revoke_time = NULL", {"revoke_time"}),
        ("UPDATE api_key SET rights = '{admin}'", {"rights"}),
        ("UPDATE api_key SET secret_hash = decode(repeat('11', 32), 'hex')", set()),
        ("DELETE FROM api_key", {"name", "rights"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_change_of_a_key_has_an_entry_without_its_hash(
    owner: Connection, statement: str, changed: set[str]
) -> None:
    before = count(owner)
    owner.execute(text("""SET LOCAL sprocket.caller = '{"principal": "api-key:other"}'"""))
    owner.execute(text(statement))
    assert count(owner) == before + 1
    assert newest(owner) == (f"database:{owner.engine.url.username}", True)
    states = owner.execute(text("SELECT before, after FROM audit_entry ORDER BY id DESC LIMIT 1")).one()
    first, second = (state or {} for state in states)
    assert {name for name in {*first, *second} if first.get(name) != second.get(name)} >= changed
    assert not {"secret_hash", "last_use_time"} & {*first, *second}


def test_the_use_of_a_key_is_no_change(attacker: Connection) -> None:
    before = count(attacker)
    assert attacker.execute(text("UPDATE api_key SET last_use_time = now()")).rowcount == 1
    assert count(attacker) == before


def test_a_new_partition_of_the_log_has_none_of_the_default_privileges_of_its_owner(database_url: str) -> None:
    """Triggers alone write the log."""
    newest = "SELECT max(relname) FROM pg_class WHERE relname ~ '^audit_entry_2.*[0-9]$'"
    others = "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relname = :name AND grantee <> relowner"
    with create_plain_engine(database_url).begin() as owner:
        name = owner.scalar(text(newest))
        owner.execute(text(f"DROP TABLE {name}"))
        owner.execute(text("ALTER DEFAULT PRIVILEGES GRANT INSERT, SELECT ON TABLES TO PUBLIC"))
        owner.execute(text("SELECT create_audit_partitions()"))
        owner.execute(text("ALTER DEFAULT PRIVILEGES REVOKE INSERT, SELECT ON TABLES FROM PUBLIC"))
        assert owner.scalar(text(newest)) == name
        assert owner.scalar(text(others), {"name": name}) == 0
