"""The schema: constraints enforce the rules of the contract, and the necessary indexes exist."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import new_database
from tests.support.resources import MISSING_ID
from tests.support.schema_rows import (
    COLUMNS,
    EXTREMES,
    FORBIDDEN,
    OPTIONAL,
    REFERENCES,
    RESOURCES,
    RESTRICTING,
    ROWS,
    UNIQUE,
    Row,
)


@pytest.fixture(scope="module")
def filled_database_url(postgres: str, template: str) -> Iterator[str]:
    """A database with one row in every table, which no test of this file changes."""
    with new_database(postgres, template) as url:
        with create_plain_engine(url).begin() as filling:
            for table, row in ROWS.items():
                insert_complete(filling, table, row)
        yield url


@pytest.fixture
def connection(filled_database_url: str) -> Iterator[Connection]:
    """A connection whose transaction is rolled back in the end."""
    with create_plain_engine(filled_database_url).connect() as connection:
        yield connection


def insert(connection: Connection, table: str, row: Row) -> None:
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608  # our own names


def insert_complete(connection: Connection, table: str, row: Row) -> None:
    try:
        insert(connection, table, row)
    except IntegrityError as error:
        place = "tests/conformance/fields.py" if table in RESOURCES else "tests/support/schema_rows.py"
        raise AssertionError(f"{place} has no value for a column of {table}") from error


def another(table: str) -> Row:
    """Make a second row for a table."""
    own: dict[str, Row] = {
        "chart_entry": {"sequence": 2},
        "chart_page": {"last_sequence": 2},
        "page_token_key": {},
        "audit_retention": {"days": 2},
        "chart_retention": {"days": 2},
        "chart_start": {},
    }
    return ROWS[table] | own.get(table, {"id": MISSING_ID})


def forbidden() -> Iterator[Any]:
    for table, columns in FORBIDDEN.items():
        for column, values in columns.items():
            for value in values:
                shown = repr(value) if len(repr(value)) < 20 else f"{len(value)} characters"
                yield pytest.param(table, column, value, id=f"{table}.{column}={shown}")


def refused_by(connection: Connection, table: str, row: Row) -> psycopg.Error:
    """Insert a row, which must fail, and return the error."""
    with pytest.raises(IntegrityError) as raised:
        insert(connection, table, row)
    assert isinstance(raised.value.orig, psycopg.Error)
    return raised.value.orig


# Constraints.


@pytest.mark.parametrize(
    "table", sorted(ROWS.keys() - {"chart_start"})
)  # one row for each factory, of which there is one
def test_extreme_values_that_the_contract_allows_are_stored(connection: Connection, table: str) -> None:
    for extreme in ({}, *EXTREMES.get(table, [])):
        with connection.begin_nested() as attempt:
            insert(connection, table, another(table) | extreme)
            attempt.rollback()


@pytest.mark.parametrize(("table", "column", "value"), list(forbidden()))
def test_a_value_out_of_range_is_refused(connection: Connection, table: str, column: str, value: object) -> None:
    error = refused_by(connection, table, another(table) | {column: value})
    assert error.diag.constraint_name == f"ck_{table}_{column}"


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_null_is_refused_in_every_column(connection: Connection, table: str, column: str) -> None:
    error = refused_by(connection, table, another(table) | {column: None})
    assert (error.sqlstate, error.diag.column_name) == ("23502", column)


def test_these_tests_insert_null_into_every_column_that_is_not_optional(connection: Connection) -> None:
    query = """
        SELECT relname::text, attname::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND attnum > 0 AND NOT attisdropped
    """
    columns = {(table, name) for table, name in connection.execute(text(query)) if table != "alembic_version"}
    covered = {*COLUMNS, *OPTIONAL, ("page_token_key", "id")}  # PostgreSQL generates this column
    assert columns == covered, (
        "a resource needs a Case and its tests/conformance/fields.py, other tables support/schema_rows.py"
    )


@pytest.mark.parametrize(("table", "column", "_"), REFERENCES)
def test_a_reference_to_a_missing_row_is_refused(connection: Connection, table: str, column: str, _: str) -> None:
    error = refused_by(connection, table, another(table) | {column: MISSING_ID})
    assert error.diag.constraint_name == f"fk_{table}_{column}"


@pytest.mark.parametrize(("table", "column", "referred"), RESTRICTING)
def test_a_referenced_resource_cannot_be_deleted(
    connection: Connection, table: str, column: str, referred: str
) -> None:
    with pytest.raises(IntegrityError) as raised:
        connection.execute(text(f"DELETE FROM {referred}"))  # noqa: S608  # our own name
    assert f'"fk_{table}_{column}"' in str(raised.value)


def test_deleting_a_factory_deletes_its_chart(connection: Connection) -> None:
    connection.execute(text("DELETE FROM sprocket"))
    connection.execute(text("DELETE FROM factory"))
    for table in ("chart_entry", "chart_page"):
        assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0  # noqa: S608  # our own names


@pytest.mark.parametrize("last", [0, 5_001])
def test_a_page_of_a_chart_has_1_to_5000_entries(connection: Connection, last: int) -> None:
    error = refused_by(connection, "chart_page", another("chart_page") | {"last_sequence": last})
    assert error.diag.constraint_name == "ck_chart_page_last_sequence_first_sequence"


@pytest.mark.parametrize("table", UNIQUE)
def test_a_duplicate_key_is_refused(connection: Connection, table: str) -> None:
    name = refused_by(connection, table, ROWS[table]).diag.constraint_name
    assert name == ("pk_audit_entry_first" if table == "audit_entry" else f"pk_{table}")  # of its partition


# Names and indexes.

INDEXES = """
SELECT indrelid::regclass::text, indexrelid::regclass::text, indisprimary,
       array(SELECT pg_get_indexdef(indexrelid, position, true) FROM generate_series(1, indnkeyatts) position)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = 'public'::regnamespace AND relname <> 'alembic_version' AND indisvalid AND indpred IS NULL
      AND NOT relispartition
"""
CONSTRAINTS = """
SELECT contype::text, conrelid::regclass::text, conname::text,
       array(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, position)
             JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY position)
FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace = 'public'::regnamespace AND relname <> 'alembic_version' AND contype <> 'n' AND NOT relispartition
"""
KINDS = {"p": "pk", "f": "fk", "u": "uq", "c": "ck"}


def indexes(connection: Connection) -> list[tuple[str, list[str]]]:
    """Return the table and the columns of every index."""
    return [(table, columns) for table, _, _, columns in connection.execute(text(INDEXES))]


def has_index(connection: Connection, table: str, columns: list[str]) -> bool:
    """Whether an index begins with columns."""
    return any(table == indexed and columns == keys[: len(columns)] for indexed, keys in indexes(connection))


def test_every_foreign_key_has_an_index(connection: Connection) -> None:
    keys = [(table, columns) for kind, table, _, columns in connection.execute(text(CONSTRAINTS)) if kind == "f"]
    assert sorted((table, columns[0]) for table, columns in keys) == sorted((t, c) for t, c, _ in REFERENCES)
    assert [key for key in keys if not has_index(connection, *key)] == []


@pytest.mark.parametrize("table", [*RESOURCES, "audit_entry"])
def test_every_list_has_an_index_in_its_order(connection: Connection, table: str) -> None:
    assert has_index(connection, table, ["id"])


def test_a_chart_has_an_index_in_its_order(connection: Connection) -> None:
    assert has_index(connection, "chart_entry", ["factory_id", "sequence"])


def test_the_audit_log_has_an_index_on_the_entries_of_a_resource_in_their_order(connection: Connection) -> None:
    assert has_index(connection, "audit_entry", ["resource_id", "id"])


def test_the_keys_of_large_tables_begin_with_the_factory(connection: Connection) -> None:
    keys = {table: columns for kind, table, _, columns in connection.execute(text(CONSTRAINTS)) if kind in "pu"}
    assert [keys["sprocket"][0], keys["chart_entry"][0]] == ["factory_id", "factory_id"]


def test_constraints_are_named_after_kind_table_and_columns(connection: Connection) -> None:
    for kind, table, name, columns in connection.execute(text(CONSTRAINTS)):
        parts = [KINDS[kind], table] + ([] if kind == "p" else columns)
        assert name == "_".join(parts)


def test_indexes_are_named_after_table_and_columns(connection: Connection) -> None:
    for table, name, is_primary, columns in connection.execute(text(INDEXES)):
        assert name == (f"pk_{table}" if is_primary else "_".join(["ix", table, *columns]))
