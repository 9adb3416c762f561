"""`migrate --check` detects whatever somebody has changed by hand."""

import pytest
from sqlalchemy import text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute

pytestmark = pytest.mark.slow

DAMAGES = {
    "missing index": "DROP INDEX ix_sprocket_sprocket_type_id",
    "missing column": "ALTER TABLE location DROP COLUMN address_2",
    "missing table": "DROP TABLE page_token_key",
    "missing foreign key": "ALTER TABLE factory DROP CONSTRAINT fk_factory_location_id",
    "missing default": "ALTER TABLE location ALTER COLUMN create_time DROP DEFAULT",
    "extra column": "ALTER TABLE location ADD COLUMN planet text",
    "extra table": "CREATE TABLE planet (id int)",
    "extra index": "CREATE INDEX extra ON location (city)",
    "other type": "ALTER TABLE chart_entry ALTER COLUMN time_micros TYPE int",
    "nullable": "ALTER TABLE location ALTER COLUMN city DROP NOT NULL",
}

DAMAGES_OF_DEFINITIONS = {
    "missing check": "ALTER TABLE location DROP CONSTRAINT ck_location_city",
    "missing check of a column": "ALTER TABLE location DROP CONSTRAINT ck_location_country_code",
    "extra check": "ALTER TABLE location ADD CONSTRAINT extra CHECK (city <> 'Shelbyville')",
    "other check": (
        "ALTER TABLE factory DROP CONSTRAINT ck_factory_sprocket_production_goal, "
        "ADD CONSTRAINT ck_factory_sprocket_production_goal CHECK (sprocket_production_goal >= -1)"
    ),
    "check that was not validated": (
        "ALTER TABLE location DROP CONSTRAINT ck_location_country_code, "
        "ADD CONSTRAINT ck_location_country_code CHECK (country_code ~ '^[A-Z]{2}$') NOT VALID"
    ),
    "foreign key that was not validated": (
        "ALTER TABLE factory DROP CONSTRAINT fk_factory_location_id, "
        "ADD CONSTRAINT fk_factory_location_id FOREIGN KEY (location_id) REFERENCES location (id) NOT VALID"
    ),
    "missing primary key": "ALTER TABLE recorded_request DROP CONSTRAINT pk_recorded_request",
    "primary key in another order": (
        "ALTER TABLE chart_entry DROP CONSTRAINT pk_chart_entry, "
        "ADD CONSTRAINT pk_chart_entry PRIMARY KEY (sequence, factory_id)"
    ),
    "index in another collation": (
        "DROP INDEX ix_sprocket_display_name_id; "
        "CREATE INDEX ix_sprocket_display_name_id ON sprocket (display_name, id)"
    ),
    "invalid index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_sprocket_update_time_id'::regclass"
    ),
    "partitions by something else": (
        "DROP TABLE audit_entry; CREATE TABLE audit_entry (LIKE location) PARTITION BY HASH (id)"
    ),
}


DAMAGES_OF_THE_AUDIT_LOG = {
    "missing trigger": "DROP TRIGGER audit_update ON factory",
    "disabled trigger": "ALTER TABLE sprocket DISABLE TRIGGER audit_deletes",
    "trigger of another type": (
        "CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON location FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) "
        "EXECUTE FUNCTION audit_update('sprocket.v1.Factory')"
    ),
    "trigger without its condition": (
        "CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON location FOR EACH ROW "
        "EXECUTE FUNCTION audit_update('sprocket.v1.Location')"
    ),
    "extra trigger": "CREATE TRIGGER extra AFTER UPDATE ON location FOR EACH ROW EXECUTE FUNCTION audit_update('x')",
    "condition with a column less": (
        "CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON factory FOR EACH ROW "
        "WHEN (OLD.display_name IS DISTINCT FROM NEW.display_name) EXECUTE FUNCTION audit_update('sprocket.v1.Factory')"
    ),
    "extra function": "CREATE FUNCTION extra() RETURNS int LANGUAGE sql RETURN 1",
    "function of another type": "DROP FUNCTION audit_partition_start; "
    "CREATE FUNCTION audit_partition_start(month date) RETURNS uuid LANGUAGE sql RETURN gen_random_uuid()",
    "function that waits for locks": "ALTER FUNCTION create_audit_partitions() SET lock_timeout = 0",
    "function with another search path": "ALTER FUNCTION create_audit_partitions() SET search_path = pg_temp, public",
    "unguarded log": "DROP TRIGGER keep_audit_entries ON audit_entry",
    "unguarded partition": "DROP TRIGGER keep_audit_entries ON audit_entry_first",
    "partition whose guard is off": "ALTER TABLE audit_entry_default DISABLE TRIGGER keep_audit_entries",
    "no partition for the rest": "DROP TABLE audit_entry_default",
    "keys without a log": "ALTER TABLE api_key DISABLE TRIGGER USER",
    "other function": "CREATE OR REPLACE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "function of the caller": "ALTER FUNCTION audit_inserts() SECURITY INVOKER",
    "packer of the caller": "ALTER FUNCTION pack_chart(uuid, integer, integer) SECURITY INVOKER",
    "function with the caller's search path": "ALTER FUNCTION audit_deletes() RESET search_path",
    "function for all": "GRANT EXECUTE ON FUNCTION audit_update() TO PUBLIC",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_check_detects_manual_changes_of_the_schema(database_url: str, damage: str) -> None:
    execute(database_url, damage)
    with pytest.raises(migrate.MigrationError):
        migrate.check(database_url)


@pytest.mark.parametrize("damage", DAMAGES_OF_THE_AUDIT_LOG.values(), ids=DAMAGES_OF_THE_AUDIT_LOG)
def test_the_check_detects_manual_changes_of_the_audit_log(database_url: str, damage: str) -> None:
    execute(database_url, damage)
    with pytest.raises(migrate.MigrationError, match="the schema differs: "):
        migrate.check(database_url)


@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")  # of NOT VALID, which SQLAlchemy read
@pytest.mark.parametrize("damage", DAMAGES_OF_DEFINITIONS.values(), ids=DAMAGES_OF_DEFINITIONS)
def test_the_check_detects_manual_changes_that_alembic_does_not_compare(database_url: str, damage: str) -> None:
    execute(database_url, damage)
    with pytest.raises(migrate.MigrationError):
        migrate.check(database_url)


def test_the_check_detects_missing_migrations_and_changes_nothing(empty_database_url: str) -> None:
    with pytest.raises(migrate.MigrationError, match="not up to date"):
        migrate.check(empty_database_url)
    with create_plain_engine(empty_database_url).connect() as connection:
        query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.scalar(text(query)) == 0
