"""Migrations: upgrade and downgrade, concurrent runs, locked tables, and the check of the schema."""

import multiprocessing
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import Connection, make_url, text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.tables import SCHEMA_REVISION, metadata
from sprocket_grpc.testing.postgres import execute
from tests import ROOT
from tests.support.migrations import BEFORE_PARTITIONS, BEFORE_PROTECTION, NEWEST_REVISION, SCRIPTS
from tests.support.waiting import wait_until_blocked

pytestmark = pytest.mark.slow

VERSIONS = ROOT / "migrations" / "versions"

CATALOGUE = """
SELECT 'relation', relname::text, relkind::text, obj_description(oid)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
UNION ALL
SELECT 'column', attrelid::regclass::text, attname::text,
       concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid))
FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                 AND NOT relispartition
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
                     AND NOT (SELECT relispartition FROM pg_class WHERE pg_class.oid = conrelid)
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef
FROM pg_indexes JOIN pg_class ON pg_class.oid = format('%I', tablename)::regclass
WHERE schemaname = 'public' AND NOT relispartition
"""
"""All relations but partitions, which tables.py does not have."""

PROGRAMS = """
SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', proname::text, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
"""Triggers and functions, which only migrations create; tables.py does not have them."""


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yield a connection whose transaction is rolled back in the end."""
    with create_plain_engine(url).connect() as connection:
        yield connection


def catalogue(url: str) -> set[tuple[str, ...]]:
    """Describe all relations in the schema except those of alembic."""
    with connected(url) as connection:
        rows = {tuple(map(str, row)) for row in connection.execute(text(CATALOGUE))}
    return {row for row in rows if "alembic_version" not in "".join(row)}


def columns(url: str) -> set[tuple[str, str]]:
    """Return the table and the name of every column."""
    return {(table, name) for kind, table, name, _ in catalogue(url) if kind == "column"}


def programs(url: str) -> set[tuple[str, ...]]:
    """Describe all triggers and functions."""
    with connected(url) as connection:
        return {tuple(map(str, row)) for row in connection.execute(text(PROGRAMS))}


def revision(url: str) -> str:
    with connected(url) as connection:
        return str(connection.scalar(text("SELECT string_agg(version_num, ',') FROM alembic_version")))


# Upgrade and downgrade.


def test_an_upgrade_after_a_downgrade_gives_the_same_schema(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    first = catalogue(empty_database_url) | programs(empty_database_url)
    migrate.downgrade(empty_database_url, "base")
    assert catalogue(empty_database_url) | programs(empty_database_url) == set()
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    assert catalogue(empty_database_url) | programs(empty_database_url) == first


def test_migrating_again_changes_nothing(database_url: str) -> None:
    with connected(database_url) as connection:
        key = connection.scalar(text("SELECT key FROM page_token_key"))
    migrate.upgrade(database_url)
    migrate.downgrade(database_url, NEWEST_REVISION)
    with connected(database_url) as connection:
        assert connection.scalars(text("SELECT key FROM page_token_key")).all() == [key]


def test_the_migrations_create_the_schema_of_the_table_definitions_with_all_checks(
    database_url: str, empty_database_url: str
) -> None:
    with create_plain_engine(empty_database_url).begin() as connection:
        metadata.create_all(connection)
    # Sets ignore the order of rows, but the definition of a primary key contains the order of its columns.
    assert catalogue(database_url) == catalogue(empty_database_url)


def test_each_database_gets_its_own_page_token_key(database_url: str, empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    keys = set()
    for url in (database_url, empty_database_url):
        with connected(url) as connection:
            keys.add(bytes(connection.scalars(text("SELECT key FROM page_token_key")).one()))
    assert len(keys) == 2


# Revisions.


def test_every_migration_says_whether_the_server_requires_it() -> None:
    undecided = [
        script.path for script in SCRIPTS if getattr(script.module, "required_by_server", None) not in (True, False)
    ]
    assert undecided == [], "set required_by_server to True or False: CONTRIBUTING.md says when"


def test_the_schema_revision_is_the_newest_migration_that_the_server_requires() -> None:
    required = max(script.revision for script in SCRIPTS if script.module.required_by_server)
    assert required == SCHEMA_REVISION, "SCHEMA_REVISION in storage/tables.py is what readiness waits for"


def test_the_schema_revision_has_every_column_that_the_server_uses(database_url: str, empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, SCHEMA_REVISION)
    missing = columns(database_url) - columns(empty_database_url)
    assert missing == set(), "the migration that adds these is required_by_server"


def test_migrating_brings_the_schema_to_the_newest_migration(database_url: str) -> None:
    assert revision(database_url) == NEWEST_REVISION


def test_revisions_are_numbered_without_gaps_and_have_descriptive_file_names() -> None:
    scripts = sorted(VERSIONS.glob("*.py"))
    for number, script in enumerate(scripts, start=1):
        assert re.fullmatch(rf"{number:04}_[a-z]+(_[a-z0-9]+)+\.py", script.name)
        before = f'"{number - 1:04}"' if number > 1 else "None"
        assert f'\nrevision = "{number:04}"\ndown_revision = {before}\n' in script.read_text()


@pytest.mark.parametrize("wanted", ["0099", "nonsense"])
def test_an_unknown_revision_is_named_in_the_error_and_changes_nothing(database_url: str, wanted: str) -> None:
    for change in (migrate.upgrade, migrate.downgrade):
        with pytest.raises(migrate.MigrationError, match=f"revision.*'{wanted}'"):
            change(database_url, wanted)
    migrate.check(database_url)


# Concurrency.


def _meet(barrier: Barrier) -> None:
    barrier.wait()


def test_of_two_concurrent_migrations_one_does_the_work_and_both_succeed(empty_database_url: str) -> None:
    processes = multiprocessing.get_context("spawn")  # alembic keeps one migration per process
    execute(empty_database_url, "CREATE TABLE alembic_version (version_num varchar(32) CONSTRAINT pkc PRIMARY KEY)")
    with ProcessPoolExecutor(2, processes, _meet, (processes.Barrier(2),)) as pool:
        with connected(empty_database_url) as connection:
            # Neither process can read the revision before both have started.
            connection.execute(text("LOCK TABLE alembic_version"))
            both = [pool.submit(migrate.upgrade, empty_database_url) for _ in range(2)]
            wait_until_blocked(empty_database_url, 1)  # the other process waits without a lock of PostgreSQL
        for each in both:
            each.result()
    assert revision(empty_database_url) == NEWEST_REVISION
    migrate.check(empty_database_url)


def test_a_migration_fails_on_a_locked_table_and_changes_nothing(database_url: str) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    before = catalogue(database_url)
    with connected(database_url) as reader:
        reader.execute(text("LOCK TABLE location IN ACCESS SHARE MODE"))
        with pytest.raises(migrate.MigrationError, match="lock timeout"):
            migrate.downgrade(database_url, "base")
    assert (catalogue(database_url), revision(database_url)) == (before, BEFORE_PARTITIONS)


def test_a_transaction_after_a_migration_that_commits_waits_for_locks_no_longer_than_others(database_url: str) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    with connected(database_url) as reader:
        reader.execute(text("LOCK TABLE chart_entry IN ACCESS SHARE MODE"))
        with pytest.raises(migrate.MigrationError, match="lock timeout"):
            migrate.downgrade(database_url, "base")  # 0008 commits, and 0001 drops this table
    assert revision(database_url) == BEFORE_PARTITIONS


@pytest.mark.parametrize("table", ["location", "factory", "api_key"])
def test_a_protection_that_was_interrupted_by_a_lock_can_be_run_again(database_url: str, table: str) -> None:
    protected = programs(database_url)
    migrate.downgrade(database_url, BEFORE_PROTECTION)
    before = programs(database_url)
    with connected(database_url) as writer:
        writer.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))
        with pytest.raises(migrate.MigrationError, match="lock timeout"):
            migrate.upgrade(database_url)
    assert revision(database_url) == BEFORE_PROTECTION
    migrate.upgrade(database_url)
    assert programs(database_url) == protected
    migrate.downgrade(database_url, BEFORE_PROTECTION)
    assert programs(database_url) == before


def test_a_role_that_may_not_create_tables_gets_permission_denied(empty_database_url: str) -> None:
    role = f"test_{uuid.uuid4().hex}"
    execute(empty_database_url, f"CREATE ROLE {role} LOGIN")
    url = make_url(empty_database_url).set(username=role).render_as_string(hide_password=False)
    try:
        with pytest.raises(migrate.MigrationError, match="permission denied"):
            migrate.upgrade(url)
    finally:
        execute(empty_database_url, f"DROP ROLE {role}")


# The schema of a newer version.


@pytest.fixture
def newer_database_url(database_url: str) -> str:
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    return database_url


def test_a_newer_schema_stays_as_it_is_so_that_this_version_can_be_started_again(newer_database_url: str) -> None:
    before = catalogue(newer_database_url)
    migrate.upgrade(newer_database_url)
    assert (catalogue(newer_database_url), revision(newer_database_url)) == (before, "9999")


@pytest.mark.parametrize("work", [migrate.check, lambda url: migrate.downgrade(url, "base")], ids=["check", "revert"])
def test_what_needs_the_migrations_of_a_newer_version_is_refused(
    newer_database_url: str, work: Callable[[str], None]
) -> None:
    with pytest.raises(migrate.MigrationError, match="revision 9999, which only a newer version of sprocket-grpc"):
        work(newer_database_url)
