"""Databases for tests: one in which a test has changed nothing but rows is emptied and used again.

Copying and dropping a migrated database takes PostgreSQL ten times as much CPU as emptying it.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import make_url

from sprocket_grpc.testing.postgres import new_database

_Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_CATALOGS = [
    *("pg_namespace", "pg_class", "pg_attribute", "pg_attrdef", "pg_type", "pg_constraint", "pg_index", "pg_sequence"),
    *("pg_proc", "pg_trigger", "pg_rewrite", "pg_policy", "pg_default_acl", "pg_extension", "pg_statistic"),
]
"""The descriptions of what a database has, and the statistics by which queries are planned."""

_LARGEST_TABLE = 256 << 10
"""The size in bytes from which a table is not emptied: its dead rows would slow down later tests."""

_SECONDS = 0.5
"""How long PostgreSQL may take to end a test's connections after they were closed."""

_OTHERS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
        OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
"""
_TABLES = "SELECT oid::regclass::text, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = {}"
_PUBLIC = "'public'::regnamespace"


class Databases:
    """Migrated databases without other rows, each for one test at a time."""

    def __init__(self, postgres: str, template: str) -> None:
        self._postgres = postgres
        self._template = template
        self._free: list[tuple[str, ExitStack]] = []

    @contextmanager
    def take(self) -> Iterator[str]:
        """Yield the URL of a database until the block ends. It may be left in any state."""
        url, life = self._free.pop() if self._free else self._create()
        with ExitStack() as drop:
            drop.push(life)
            yield url
            with suppress(psycopg.Error), _connected(url) as connection:  # a test may have removed anything
                if self._is_emptied(connection):
                    self._free.append((url, drop.pop_all()))

    def close(self) -> None:
        """Drop the databases that no test uses."""
        while self._free:
            self._free.pop()[1].close()

    def _create(self) -> tuple[str, ExitStack]:
        life = ExitStack()
        return life.enter_context(new_database(self._postgres, self._template)), life

    def _is_emptied(self, connection: _Connection) -> bool:
        """Remove what a test has added, and return whether nothing else has changed."""
        if _has_others(connection) or self._fingerprint(connection) != self._as_migrated:
            return False
        tables = connection.execute(_TABLES.format(_PUBLIC).encode()).fetchall()
        if any(size > _LARGEST_TABLE for _, size in tables):
            return False
        # In replica mode foreign keys are not checked, and triggers neither write the audit log nor protect it.
        deletions = [f"DELETE FROM {name}" for name, _ in tables if name not in self._filled]  # noqa: S608  # our tables
        connection.execute(";".join(["SET session_replication_role = replica", *deletions]).encode())
        return True

    @cached_property
    def _filled(self) -> list[str]:
        """The tables that have rows from the beginning, which tests hardly change."""
        with new_database(self._postgres, self._template) as url, _connected(url) as connection:
            tables = [name for name, _ in connection.execute(_TABLES.format(_PUBLIC).encode())]
            return [each for each in tables if _has_rows(connection, each)]

    @cached_property
    def _as_migrated(self) -> list[tuple[Any, ...]]:
        with new_database(self._postgres, self._template) as url, _connected(url) as connection:
            return self._fingerprint(connection)

    def _fingerprint(self, connection: _Connection) -> list[tuple[Any, ...]]:
        """Return the versions and places of all rows that tests hardly change."""
        versions = "SELECT sum(hashtextextended(concat(xmin, ctid), 0)) FROM"
        settings = "SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase"
        queries = [f"{versions} {each}" for each in (*_CATALOGS, *self._filled)]
        queries.append(f"{settings} WHERE datname = current_database()")
        return connection.execute(" UNION ALL ".join(queries).encode()).fetchall()


def _has_others(connection: _Connection) -> bool:
    """Whether a test has connections left, which could still change something."""
    deadline = time.monotonic() + _SECONDS
    while (has_others := _is_true(connection, _OTHERS)) and time.monotonic() < deadline:
        time.sleep(0.002)
    return has_others


def _has_rows(connection: _Connection, table: str) -> bool:
    return _is_true(connection, f"SELECT EXISTS (TABLE {table})")


def _is_true(connection: _Connection, query: str) -> bool:
    return connection.execute(query.encode()).fetchall() == [(True,)]


def _connected(url: str) -> _Connection:
    return psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    )
