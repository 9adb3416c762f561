"""Partition the audit log by month, let the server keep its partitions, and make its entries cheaper.

- `audit_entry` is partitioned by ranges of its id, a UUIDv7: a month is a range. The table of before becomes the first
  partition, without a copy. Entries for which there is no month are in `audit_entry_default`. All are append-only.
- The server owns no table. `create_audit_partitions()` makes the months until three months ahead, and
  `drop_expired_audit_partition(days)` drops the oldest partition if all its entries are older than that. Both run as
  the owner. The second one refuses fewer days than the owner has recorded in `audit_retention`.
- An id is computed with fewer steps and without strong random numbers, and the JSON of a row is built once.

The first partition ends in one to two months, and that of an empty log before the current month. The lock that keeps
writers out is waited for 100 ms at a time: PostgreSQL looks for deadlocks after a second. It can be run again.
"""

from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
required_by_server = True

_COMMENT = "Every write of a resource or an API key. Written by triggers, and append-only."

# As in 0003, and a UUIDv7 of the same time: 48 bits of milliseconds, the version, 12 bits of their fraction, the
# variant and 62 random bits. PostgreSQL's own uuidv7() has another time than the entry, and costs more.
_ENTRY_ID = """
CREATE OR REPLACE FUNCTION audit_entry_id(micros bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT {value}
$$
"""
_ID_BEFORE = """(lpad(to_hex(micros / 1000), 12, '0') || '7' || lpad(to_hex(micros % 1000 * 4096 / 1000), 3, '0')
            || substr(gen_random_uuid()::text, 19))::uuid"""
_ID = """encode(int8send((micros / 1000 << 16) + 28672 + micros % 1000 * 4096 / 1000)
                  || int8send(-9223372036854775808 + (random() * 4611686018427387904)::bigint), 'hex')::uuid"""

# As in 0005 and 0008. Only a factory has internal columns.
_INSERTS = """
CREATE OR REPLACE FUNCTION audit_inserts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {path} AS $$
DECLARE
    caller jsonb := coalesce(nullif(current_setting('sprocket.caller', true), ''), '{{}}')::jsonb;
    callers jsonb := coalesce(nullif(current_setting('sprocket.callers', true), ''), '{{}}')::jsonb;
    internal text[] := {internal};
BEGIN
    INSERT INTO audit_entry
        (id, create_time, principal, request_id, method, resource_type, resource_id, before, after)
    SELECT audit_entry_id((extract(epoch FROM written.moment) * 1000000)::bigint),
           written.moment,
           coalesce(written.caller ->> 'principal', 'database:' || session_user),
           coalesce(written.caller ->> 'request_id', ''),
           coalesce(written.caller ->> 'method', ''),
           TG_ARGV[0],
           written.id,
           NULL,
           {after}
    FROM (
        SELECT clock_timestamp() AS moment, coalesce(callers -> added.id::text, caller) AS caller, added.id,
               to_jsonb(added) AS after
        FROM added
    ) AS written;
    RETURN NULL;
END
$$
"""
_INTERNAL = "'{chart_sequence,chart_time_micros}'"
_INSERTS_BEFORE = {"internal": _INTERNAL, "after": "written.after - internal"}
_INSERTS_NOW = {
    "internal": f"CASE TG_TABLE_NAME WHEN 'factory' THEN {_INTERNAL}::text[] END",
    "after": "CASE WHEN internal IS NULL THEN written.after ELSE written.after - internal END",
}

# Before 1970 it is the least id: the sign of the milliseconds would make it one of the greatest.
_PARTITION_START = """
CREATE OR REPLACE FUNCTION audit_partition_start(month timestamp) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(int8send(greatest((extract(epoch FROM month) * 1000)::bigint, 0) << 16) || int8send(0), 'hex')::uuid
$$
"""

# CREATE and then ATTACH: PARTITION OF would lock the whole log. A new table has no rows to check, so it needs no CHECK.
_CREATE_PARTITION = """
CREATE OR REPLACE FUNCTION create_audit_partition(month timestamp) RETURNS void LANGUAGE plpgsql {path} AS $$
DECLARE
    name text := to_char(month, '"audit_entry_"YYYY_MM');
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE audit_entry)', name);
    EXECUTE coalesce((  -- what the owner's default privileges grant: triggers alone write the log
        SELECT format('REVOKE ALL ON %I FROM %s', name, string_agg(coalesce(quote_ident(rolname), 'PUBLIC'), ', '))
        FROM pg_class, aclexplode(relacl) LEFT JOIN pg_roles ON pg_roles.oid = grantee
        WHERE pg_class.oid = name::regclass AND grantee <> relowner HAVING count(*) > 0), 'SELECT 1');
    EXECUTE format('CREATE TRIGGER keep_audit_entries BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entries()', name);
    EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                   audit_partition_start(month), audit_partition_start(month + interval '1 month'));
END
$$
"""

# A month with entries in audit_entry_default cannot be attached: it is left out, and the alert tells people.
_CREATE_PARTITIONS = """
CREATE OR REPLACE FUNCTION create_audit_partitions() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER {path}
SET lock_timeout = '100ms' AS $$
DECLARE
    month timestamp;
BEGIN
    LOCK TABLE ONLY audit_entry IN SHARE UPDATE EXCLUSIVE MODE;  -- one at a time; writes go on
    FOR month IN
        SELECT generate_series(min(to_date(relname, '"audit_entry_"YYYY_MM')),
                               date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months', '1 month')
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'audit_entry'::regclass AND relname ~ '^audit_entry_[0-9]{{4}}_[0-9]{{2}}$'
    LOOP
        IF to_regclass(to_char(month, '"audit_entry_"YYYY_MM')) IS NULL AND NOT EXISTS (
            SELECT FROM audit_entry_default WHERE id >= audit_partition_start(month)
                                              AND id < audit_partition_start(month + interval '1 month')
        ) THEN
            PERFORM create_audit_partition(month);
        END IF;
    END LOOP;
    RETURN EXISTS (SELECT FROM audit_entry_default);
END
$$
"""

_DROP_PARTITION = """
CREATE OR REPLACE FUNCTION drop_expired_audit_partition(keep_days integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER {path} SET lock_timeout = '100ms' AS $$
DECLARE
    expired text;
BEGIN
    IF (keep_days >= (SELECT max(days) FROM audit_retention)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the owner of the audit log does not allow to drop entries after % days', keep_days
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Run `sprocket-grpc migrate` with SPROCKET_AUDIT_RETENTION_DAYS, as the owner.';
    END IF;
    SELECT relname INTO expired
    FROM (
        SELECT relname, substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(.*)''\\)')::uuid AS next_id
        FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'audit_entry'::regclass
    ) AS partition
    WHERE next_id <= audit_partition_start(now() AT TIME ZONE 'UTC' - make_interval(days => keep_days))
    ORDER BY next_id LIMIT 1;
    IF expired IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', expired);
    END IF;
    RETURN expired;
END
$$
"""

_FUNCTIONS = (
    "audit_partition_start(timestamp)",
    "create_audit_partition(timestamp)",
    "create_audit_partitions()",
    "drop_expired_audit_partition(integer)",
)

# With this lock autovacuum gives way, and then writers are kept waiting shortly, again and again.
_LOCKED = """
DO $do$
DECLARE
    privilege record;
BEGIN
    LOCK TABLE audit_entry IN SHARE UPDATE EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '100ms', true);
    FOR attempt IN 1..25 LOOP
        BEGIN
            LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 25 THEN RAISE; END IF;
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    {statements}
END
$do$
"""

_UNCHECK = "ALTER TABLE audit_entry DROP CONSTRAINT IF EXISTS ck_audit_entry_first;"
_CHECK = f"""
    {_UNCHECK}
    EXECUTE format('ALTER TABLE audit_entry ADD CONSTRAINT ck_audit_entry_first CHECK (id < %L) NOT VALID',
                   audit_partition_start('{{month}}'));
"""

_RENAME_FIRST = """
    ALTER TABLE {before} RENAME TO {after};
    ALTER TABLE {after} RENAME CONSTRAINT pk_{before} TO pk_{after};
    ALTER INDEX ix_{before}_resource_id_id RENAME TO ix_{after}_resource_id_id;
"""

_MOVE_PRIVILEGES = """
    FOR privilege IN
        SELECT privilege_type, coalesce(quote_ident(rolname), 'PUBLIC') AS role
        FROM pg_class CROSS JOIN aclexplode(relacl) LEFT JOIN pg_roles ON pg_roles.oid = grantee
        WHERE pg_class.oid = '{before}'::regclass AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON {after} TO %s', privilege.privilege_type, privilege.role);
        EXECUTE format('REVOKE ALL ON {before} FROM %s', privilege.role);
    END LOOP;
"""

_CREATE_GUARD = """
    CREATE TRIGGER keep_audit_entries BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entries();
"""

_PARTITION = f"""
    {_RENAME_FIRST.format(before="audit_entry", after="audit_entry_first")}
    CREATE TABLE audit_entry (LIKE audit_entry_first, CONSTRAINT pk_audit_entry PRIMARY KEY (id))
        PARTITION BY RANGE (id);
    CREATE INDEX ix_audit_entry_resource_id_id ON audit_entry (resource_id, id);
    COMMENT ON TABLE audit_entry IS '{_COMMENT}';
    COMMENT ON TABLE audit_entry_first IS NULL;
    {_MOVE_PRIVILEGES.format(before="audit_entry_first", after="audit_entry")}
    {_CREATE_GUARD.format(table="audit_entry")}
    EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION audit_entry_first FOR VALUES FROM (MINVALUE) TO (%L)',
                   audit_partition_start('{{month}}'));
    ALTER TABLE audit_entry_first DROP CONSTRAINT IF EXISTS ck_audit_entry_first;
    CREATE TABLE audit_entry_default PARTITION OF audit_entry DEFAULT;
    {_CREATE_GUARD.format(table="audit_entry_default")}
    PERFORM create_audit_partition('{{month}}');
    PERFORM create_audit_partitions();
"""

# The first partition has all entries until months after the upgrade: only later ones are copied.
_UNITE = f"""
    IF to_regclass('audit_entry_first') IS NULL THEN
        CREATE TABLE audit_entry_first (LIKE audit_entry, CONSTRAINT pk_audit_entry_first PRIMARY KEY (id));
        CREATE INDEX ix_audit_entry_first_resource_id_id ON audit_entry_first (resource_id, id);
        {_CREATE_GUARD.format(table="audit_entry_first")}
    ELSE
        ALTER TABLE audit_entry DETACH PARTITION audit_entry_first;
    END IF;
    INSERT INTO audit_entry_first SELECT * FROM audit_entry;
    {_MOVE_PRIVILEGES.format(before="audit_entry", after="audit_entry_first")}
    DROP TABLE audit_entry;
    {_RENAME_FIRST.format(before="audit_entry_first", after="audit_entry")}
    COMMENT ON TABLE audit_entry IS '{_COMMENT}';
"""  # noqa: S608  # constants only

_MONTH = "SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => :ahead)"


def _create_retention() -> None:
    op.create_table(
        "audit_retention",
        sa.Column("days", sa.Integer, nullable=False),
        sa.CheckConstraint("days > 0", name="days"),
        sa.PrimaryKeyConstraint("days"),
        comment="The fewest days that the server keeps entries of the audit log; without a row, it keeps all of them.",
        if_not_exists=True,
    )


def _path() -> str:
    """Return the setting of a function that finds its tables where they are, and no temporary ones."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SET search_path = {schema}, pg_temp"


def _partition() -> None:
    """Partition the log, each step in a transaction of its own; without the last one, the CHECK would refuse writes."""
    has_entries = bool(op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM audit_entry)")))
    month = op.get_bind().scalar(sa.text(_MONTH), {"ahead": 2 if has_entries else 0})
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        try:
            if has_entries:
                op.execute(_LOCKED.format(statements=_CHECK.format(month=month)))
                op.execute("ALTER TABLE audit_entry VALIDATE CONSTRAINT ck_audit_entry_first")
            op.execute(_LOCKED.format(statements=_PARTITION.format(month=month)))
        except sa.exc.DBAPIError:
            with suppress(sa.exc.DBAPIError):
                op.execute(_LOCKED.format(statements=_UNCHECK))
            raise
        op.execute("RESET lock_timeout")


def upgrade() -> None:
    """Apply the migration."""
    path = _path()
    _create_retention()
    op.execute(_ENTRY_ID.format(value=_ID))
    for function in (_INSERTS, _PARTITION_START, _CREATE_PARTITION, _CREATE_PARTITIONS, _DROP_PARTITION):
        op.execute(function.format(path=path, **_INSERTS_NOW))
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(_FUNCTIONS)} FROM PUBLIC")
    if op.get_bind().scalar(sa.text("SELECT relkind = 'r' FROM pg_class WHERE oid = 'audit_entry'::regclass")):
        _partition()


def downgrade() -> None:
    """Revert the migration. Writes wait while the entries after the first partition are copied."""
    op.execute(_LOCKED.format(statements=_UNITE))
    op.execute(f"DROP FUNCTION {', '.join(_FUNCTIONS)}")
    op.drop_table("audit_retention")
    op.execute(_ENTRY_ID.format(value=_ID_BEFORE))
    op.execute(_INSERTS.format(path=_path(), **_INSERTS_BEFORE))
