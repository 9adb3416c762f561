"""Create the audit log, and the triggers that write it.

Every write of a location, sprocket type, factory or sprocket adds an entry in the same transaction, also if it is done
with SQL. (The exception is TRUNCATE, which only the owner of the tables can execute.) A transaction names its caller in
the setting `sprocket.caller`, a JSON object with `principal`, `request_id` and `method`; without it, the entry has the
role of the session.

Entries cannot be changed. To remove old ones on purpose, set this variable in the transaction that does it:

    BEGIN;
    SET LOCAL sprocket.remove_audit_entries = 'on';
    DELETE FROM audit_entry WHERE create_time < now() - interval '2 years';
    COMMIT;
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
required_by_server = True

# Updates that add an entry: all that change a column, also with SQL. The exception is the counting of sprockets in a
# factory, which changes its chart_sequence and not its update_time; it costs only this comparison. The conditions name
# few columns, because a migration that drops a named column has to drop the trigger first.
_CHANGED = dict.fromkeys(("location", "sprocket_type", "factory", "sprocket"), "OLD IS DISTINCT FROM NEW")
_CHANGED["factory"] += " AND (OLD.chart_sequence = NEW.chart_sequence OR OLD.update_time <> NEW.update_time)"

# A UUIDv7 (RFC 9562) with the microseconds in the 12 bits after the milliseconds, so that ids are in the order of the
# entries; the other bits are random. PostgreSQL has uuidv7() only since version 18.
_CREATE_ID = """
CREATE FUNCTION audit_entry_id(micros bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex(micros / 1000), 12, '0') || '7' || lpad(to_hex(micros % 1000 * 4096 / 1000), 3, '0')
            || substr(gen_random_uuid()::text, 19))::uuid
$$
"""

# clock_timestamp() is volatile, so a subquery reads it once for each entry.
_CREATE_WRITER = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    caller jsonb := coalesce(nullif(current_setting('sprocket.caller', true), ''), '{{}}')::jsonb;
    internal text[] := '{{chart_sequence,chart_time_micros}}';
BEGIN
    INSERT INTO audit_entry
        (id, create_time, principal, request_id, method, resource_type, resource_id, before, after)
    SELECT audit_entry_id((extract(epoch FROM written.moment) * 1000000)::bigint),
           written.moment,
           coalesce(caller ->> 'principal', 'database:' || session_user),
           coalesce(caller ->> 'request_id', ''),
           coalesce(caller ->> 'method', ''),
           TG_ARGV[0],
           written.id,
           written.before - internal,
           written.after - internal
    FROM (SELECT clock_timestamp() AS moment, {written}) AS written;
    RETURN NULL;
END
$$
"""
_WRITERS = {
    "audit_inserts": "added.id, NULL::jsonb AS before, to_jsonb(added) AS after FROM added",
    "audit_update": "NEW.id, to_jsonb(OLD) AS before, to_jsonb(NEW) AS after",
    "audit_deletes": "removed.id, to_jsonb(removed) AS before, NULL::jsonb AS after FROM removed",
}

_CREATE_GUARD = """
CREATE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('sprocket.remove_audit_entries', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'To delete old entries on purpose, SET LOCAL sprocket.remove_audit_entries = ''on'' before.';
END
$$
"""


def _create_table() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("resource_type", sa.Text, nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("before", JSONB, nullable=True),
        sa.Column("after", JSONB, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="Every write of a resource. Written by triggers, and append-only.",
    )
    op.create_index(None, "audit_entry", ["resource_id", "id"])


def _create_writers() -> None:
    op.execute(_CREATE_ID)
    for name, written in _WRITERS.items():
        op.execute(_CREATE_WRITER.format(name=name, written=written))
    for table, changed in _CHANGED.items():
        _create_triggers(table, changed)


def _create_triggers(table: str, changed: str) -> None:
    kind = f"'sprocket.v1.{table.title().replace('_', '')}'"
    for change in (
        f"audit_inserts AFTER INSERT ON {table} REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
        f"audit_update AFTER UPDATE ON {table} FOR EACH ROW WHEN ({changed})",
        f"audit_deletes AFTER DELETE ON {table} REFERENCING OLD TABLE AS removed FOR EACH STATEMENT",
    ):
        op.execute(f"CREATE TRIGGER {change} EXECUTE FUNCTION {change.split()[0]}({kind})")


def _create_guard() -> None:
    op.execute(_CREATE_GUARD)
    op.execute(
        "CREATE TRIGGER keep_audit_entries BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entries()"
    )


def upgrade() -> None:
    """Apply the migration."""
    _create_table()
    _create_writers()
    _create_guard()


def downgrade() -> None:
    """Revert the migration. This deletes the audit log."""
    for table in _CHANGED:
        for name in _WRITERS:
            op.execute(f"DROP TRIGGER {name} ON {table}")
    op.drop_table("audit_entry")
    for function in ("keep_audit_entries()", *(f"{name}()" for name in _WRITERS), "audit_entry_id(bigint)"):
        op.execute(f"DROP FUNCTION {function}")
