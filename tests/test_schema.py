"""The schema: PostgreSQL itself refuses what the contract forbids, and has the indexes that the service needs."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from sprocket_grpc.database import create_plain_engine
from sprocket_grpc.testing.postgres import new_database
from tests.resources import MISSING_ID

A_LOCATION, A_TYPE, A_FACTORY, A_SPROCKET, A_REQUEST, AN_ENTRY, A_KEY = (
    f"01937f2e-7d1c-7a40-8a53-00000000000{n}" for n in range(1, 8)
)

Row = dict[str, Any]
ROWS: dict[str, Row] = {
    "location": {
        "id": A_LOCATION,
        "display_name": "Springfield",
        "address": "123 Main St",
        "address_2": "",
        "city": "Springfield",
        "administrative_area": "",
        "postal_code": "62701",
        "country_code": "US",
    },
    "sprocket_type": {
        "id": A_TYPE,
        "display_name": "Five",
        "teeth": 5,
        "pitch_mm": 1.0,
        "pitch_diameter_mm": 5.0,
        "outside_diameter_mm": 6.0,
    },
    "factory": {
        "id": A_FACTORY,
        "display_name": "Works",
        "location_id": A_LOCATION,
        "sprocket_production_goal": 0,
        "sprocket_production_actual": 0,
        "chart_sequence": 1,
        "chart_time_micros": 0,
    },
    "sprocket": {"id": A_SPROCKET, "display_name": "", "sprocket_type_id": A_TYPE, "factory_id": A_FACTORY},
    "chart_entry": {
        "factory_id": A_FACTORY,
        "sequence": 1,
        "time_micros": 0,
        "sprocket_production_goal": 0,
        "sprocket_production_actual": 0,
    },
    "page_token_key": {"key": bytes(32)},
    "recorded_request": {"id": A_REQUEST, "create_time": "2026-01-01", "fingerprint": bytes(32), "response": b""},
    "audit_entry": {
        "id": AN_ENTRY,
        "create_time": "2026-01-01",
        "principal": "anonymous",
        "request_id": "",
        "method": "",
        "resource_type": "sprocket.v1.Location",
        "resource_id": A_LOCATION,
    },
    "api_key": {
        "id": A_KEY,
        "create_time": "2026-01-01",
        "name": "dashboards",
        "rights": ["read"],
        "secret_hash": bytes(32),
    },
}
OPTIONAL = {
    ("audit_entry", "before"),
    ("audit_entry", "after"),
    ("api_key", "expire_time"),
    ("api_key", "revoke_time"),
    ("api_key", "last_use_time"),
}
TIMES = {"create_time": "2026-01-01", "update_time": "2026-01-01"}
RESOURCES = ["location", "sprocket_type", "factory", "sprocket"]

# Text is counted in characters; numbers may be as large and as small as their types allow.
EXTREMES: dict[str, Row] = {
    "location": {
        "display_name": "🏭" * 63,
        "address": "ä" * 200,
        "address_2": "€" * 200,
        "city": "x" * 100,
        "administrative_area": "x" * 100,
        "postal_code": "6" * 20,
        "country_code": "ZZ",
    },
    "sprocket_type": {
        "display_name": "x",
        "teeth": 10_000,
        "pitch_mm": 5e-324,
        "pitch_diameter_mm": 1.7976931348623157e308,
        "outside_diameter_mm": 1e-300,
    },
    "factory": {"display_name": "\u0301" * 63, "sprocket_production_goal": 2**63 - 1},
    "sprocket": {"display_name": "⚙" * 63},
    "chart_entry": {"sequence": 2**63 - 1, "sprocket_production_goal": 2**63 - 1},
}

NOT_TEXT = ["", " ", "   "]
NOT_A_LENGTH = [0, -1, float("inf"), float("-inf"), float("nan")]
FORBIDDEN: dict[str, dict[str, list[Any]]] = {
    "location": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "address": [*NOT_TEXT, "x" * 201],
        "address_2": ["x" * 201],
        "city": [*NOT_TEXT, "x" * 101],
        "administrative_area": ["x" * 101],
        "postal_code": [*NOT_TEXT, "x" * 21],
        "country_code": ["", "U", "us", "Us", "USA", "U1", " US", "US ", "US\n", "ÄÖ"],
    },
    "sprocket_type": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "teeth": [0, -1, 10_001],
        "pitch_mm": NOT_A_LENGTH,
        "pitch_diameter_mm": NOT_A_LENGTH,
        "outside_diameter_mm": NOT_A_LENGTH,
    },
    "factory": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "sprocket_production_goal": [-1],
        "sprocket_production_actual": [-1],
    },
    "sprocket": {"display_name": ["x" * 64]},
    "chart_entry": {"sequence": [0, -1], "sprocket_production_goal": [-1], "sprocket_production_actual": [-1]},
    "page_token_key": {"key": [b"", bytes(31), bytes(33)]},
    "api_key": {
        "name": [*NOT_TEXT, "x" * 64],
        "rights": [[], ["own"], ["read", "sprocket.read"], [None]],
        "secret_hash": [b"", bytes(31), bytes(33)],
    },
}
REFERENCES = [
    ("factory", "location_id", "location"),
    ("sprocket", "sprocket_type_id", "sprocket_type"),
    ("sprocket", "factory_id", "factory"),
    ("chart_entry", "factory_id", "factory"),
]
UNIQUE = ["location", "sprocket_type", "factory", "sprocket", "chart_entry", "audit_entry", "api_key"]
COLUMNS = [(table, name) for table in ROWS for name in ROWS[table] | (TIMES if table in RESOURCES else {})]


@pytest.fixture(scope="module")
def filled_database_url(postgres: str, template: str) -> Iterator[str]:
    """A database with one row of everything, which no test of this file changes."""
    with new_database(postgres, template) as url:
        with create_plain_engine(url).begin() as filling:
            for table, row in ROWS.items():
                insert(filling, table, row)
        yield url


@pytest.fixture
def connection(filled_database_url: str) -> Iterator[Connection]:
    """A connection whose transaction is rolled back in the end."""
    with create_plain_engine(filled_database_url).connect() as connection:
        yield connection


def insert(connection: Connection, table: str, row: Row) -> None:
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608  # our own names


def another(table: str) -> Row:
    """Make a row that goes beside the one that is there."""
    return ROWS[table] | {"chart_entry": {"sequence": 2}, "page_token_key": {}}.get(table, {"id": MISSING_ID})


def forbidden() -> Iterator[Any]:
    for table, columns in FORBIDDEN.items():
        for column, values in columns.items():
            for value in values:
                shown = repr(value) if len(repr(value)) < 20 else f"{len(value)} characters"
                yield pytest.param(table, column, value, id=f"{table}.{column}={shown}")


def refused_by(connection: Connection, table: str, row: Row) -> psycopg.Error:
    """Insert a row, which must fail, and return how."""
    with pytest.raises(IntegrityError) as raised:
        insert(connection, table, row)
    assert isinstance(raised.value.orig, psycopg.Error)
    return raised.value.orig


# Constraints.


@pytest.mark.parametrize("table", ROWS)
def test_what_the_contract_allows_is_stored(connection: Connection, table: str) -> None:
    insert(connection, table, another(table) | EXTREMES.get(table, {}))


@pytest.mark.parametrize(("table", "column", "value"), list(forbidden()))
def test_a_value_out_of_range_is_refused(connection: Connection, table: str, column: str, value: object) -> None:
    error = refused_by(connection, table, another(table) | {column: value})
    assert error.diag.constraint_name == f"ck_{table}_{column}"


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_null_is_refused_in_every_column(connection: Connection, table: str, column: str) -> None:
    error = refused_by(connection, table, another(table) | {column: None})
    assert (error.sqlstate, error.diag.column_name) == ("23502", column)


def test_every_column_but_the_optional_ones_is_tried_with_null(connection: Connection) -> None:
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    columns = {(table, name) for table, name in connection.execute(text(query)) if table != "alembic_version"}
    assert columns == {*COLUMNS, *OPTIONAL, ("page_token_key", "id")}  # which only PostgreSQL sets


@pytest.mark.parametrize(("table", "column", "_"), REFERENCES)
def test_a_reference_to_nothing_is_refused(connection: Connection, table: str, column: str, _: str) -> None:
    error = refused_by(connection, table, another(table) | {column: MISSING_ID})
    assert error.diag.constraint_name == f"fk_{table}_{column}"


@pytest.mark.parametrize(("table", "column", "referred"), REFERENCES[:3])
def test_what_is_referred_to_cannot_be_deleted(connection: Connection, table: str, column: str, referred: str) -> None:
    with pytest.raises(IntegrityError) as raised:
        connection.execute(text(f"DELETE FROM {referred}"))  # noqa: S608  # our own name
    assert f'"fk_{table}_{column}"' in str(raised.value)


def test_a_chart_goes_with_its_factory(connection: Connection) -> None:
    connection.execute(text("DELETE FROM sprocket"))
    connection.execute(text("DELETE FROM factory"))
    assert connection.scalar(text("SELECT count(*) FROM chart_entry")) == 0


@pytest.mark.parametrize("table", UNIQUE)
def test_a_key_is_taken_once(connection: Connection, table: str) -> None:
    assert refused_by(connection, table, ROWS[table]).diag.constraint_name == f"pk_{table}"


# Names and indexes.

INDEXES = """
SELECT indrelid::regclass::text, indexrelid::regclass::text, indisprimary,
       array(SELECT pg_get_indexdef(indexrelid, position, true) FROM generate_series(1, indnkeyatts) position)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = 'public'::regnamespace AND relname <> 'alembic_version' AND indisvalid AND indpred IS NULL
"""
CONSTRAINTS = """
SELECT contype::text, conrelid::regclass::text, conname::text,
       array(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, position)
             JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY position)
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass AND contype <> 'n'
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


def test_the_keys_of_the_tables_that_grow_begin_with_the_factory(connection: Connection) -> None:
    keys = {table: columns for kind, table, _, columns in connection.execute(text(CONSTRAINTS)) if kind in "pu"}
    assert [keys["sprocket"][0], keys["chart_entry"][0]] == ["factory_id", "factory_id"]


def test_constraints_are_called_by_kind_table_and_columns(connection: Connection) -> None:
    for kind, table, name, columns in connection.execute(text(CONSTRAINTS)):
        parts = [KINDS[kind], table] + ([] if kind == "p" else columns)
        assert name == "_".join(parts)


def test_indexes_are_called_by_table_and_columns(connection: Connection) -> None:
    for table, name, is_primary, columns in connection.execute(text(INDEXES)):
        assert name == (f"pk_{table}" if is_primary else "_".join(["ix", table, *columns]))
