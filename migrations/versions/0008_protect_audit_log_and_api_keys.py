"""Put the audit log and the API keys beyond the reach of the role that the server connects as.

- The functions of the triggers run as the owner of the tables and with a fixed search_path, so that the server's role
  needs no INSERT on `audit_entry`, and a temporary table of that name catches no entry.
- Every update of a factory that changes more than its counter and its chart adds an entry, also if it moves the chart.
- Creating, changing and deleting an API key adds an entry, without the hash. Its principal is always the role of the
  session, because no call does this. That a key was used is no change.
- TRUNCATE of these tables is refused, because it would leave no entries.

`sprocket-grpc migrate --grant ROLE` then grants a role what the server needs, and no more. What this cannot prevent:
the server names the callers of its transactions in `sprocket.caller`, so whoever connects as its role can name any. The
time and the content of an entry are always right.

Each trigger is created in a transaction of its own, so that this holds the lock of one table at a time, and cannot
deadlock with writes. If it is interrupted, run it again: it starts over.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
required_by_server = False

_AUDITED = ("location", "sprocket_type", "factory", "sprocket", "api_key")
_WRITERS = ("audit_inserts()", "audit_update()", "audit_deletes()")

# Who can execute a function of a trigger can attach it to a table of their own. Firing a trigger needs no privilege.
_FUNCTIONS = (*_WRITERS, "audit_api_keys()", "keep_audit_entries()", "refuse_truncate()", "audit_entry_id(bigint)")

_CREATE_WRITER_OF_KEYS = """
CREATE OR REPLACE FUNCTION audit_api_keys() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {path} AS $$
DECLARE
    hidden text[] := '{{secret_hash}}';
    unlogged text[] := '{{last_use_time}}';
    moment timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - unlogged = to_jsonb(NEW) - unlogged THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_entry
        (id, create_time, principal, request_id, method, resource_type, resource_id, before, after)
    VALUES (audit_entry_id((extract(epoch FROM moment) * 1000000)::bigint), moment, 'database:' || session_user, '', '',
            'ApiKey', coalesce(NEW.id, OLD.id), to_jsonb(OLD) - hidden - unlogged, to_jsonb(NEW) - hidden - unlogged);
    RETURN NULL;
END
$$
"""

_CREATE_REFUSAL = """
CREATE OR REPLACE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql {path} AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused: it would leave no entries in the audit log', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use DELETE.';
END
$$
"""

# All columns but those of the counter and of the chart: of these, the chart is the log. The names cost a comparison for
# each sprocket that is counted; a new column of a factory belongs here (a test checks it).
_LOGGED = ("id", "create_time", "update_time", "display_name", "location_id", "sprocket_production_goal")
_OLD, _NEW = (", ".join(f"{row}.{name}" for name in _LOGGED) for row in ("OLD", "NEW"))
_CHANGED = f"({_OLD}) IS DISTINCT FROM ({_NEW}) OR OLD.chart_sequence = NEW.chart_sequence AND OLD IS DISTINCT FROM NEW"
_CHANGED_BEFORE = (  # as in 0003
    "OLD IS DISTINCT FROM NEW AND (OLD.chart_sequence = NEW.chart_sequence OR OLD.update_time <> NEW.update_time)"
)

_COMMENTS = {
    "page_token_key": (
        "The key with the greatest id seals page tokens; the others still open them.",
        "The key with the greatest id encrypts page tokens; the others only decrypt older ones.",
    ),
    "audit_entry": (
        "Every write of a resource. Written by triggers, and append-only.",
        "Every write of a resource or an API key. Written by triggers, and append-only.",
    ),
}

# Roles that write resources, but for the owner and superusers.
_WRITING_ROLES = """
SELECT quote_ident(rolname) FROM pg_roles, pg_class
WHERE pg_class.oid = 'audit_entry'::regclass AND NOT rolsuper AND rolname NOT LIKE 'pg\\_%'
  AND NOT pg_has_role(pg_roles.oid, relowner, 'USAGE')
  AND has_any_column_privilege(pg_roles.oid, 'location', 'INSERT')
"""


_TRIGGERS_OF_TRUNCATE = [
    f"CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()"
    for table in _AUDITED
]
_TRIGGER_OF_KEYS = (
    "CREATE OR REPLACE TRIGGER audit_api_keys AFTER INSERT OR UPDATE OR DELETE ON api_key "
    "FOR EACH ROW EXECUTE FUNCTION audit_api_keys()"
)


def _path() -> str:
    """Return the setting of a function that finds its tables where they are, and no temporary ones."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SET search_path = {schema}, pg_temp"


def _trigger_of_factory(changed: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON factory FOR EACH ROW WHEN ({changed}) "
        "EXECUTE FUNCTION audit_update('sprocket.v1.Factory')"
    )


def _one_by_one(statements: Iterable[str]) -> None:
    """Run statements that lock a table, each in a transaction of its own."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        for statement in statements:
            op.execute(statement)
        op.execute("RESET lock_timeout")


def _set_comments(version: int) -> None:
    for table, comments in _COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS '{comments[version]}'")


def upgrade() -> None:
    """Apply the migration."""
    path = _path()
    for function in _WRITERS:
        op.execute(f"ALTER FUNCTION {function} SECURITY DEFINER {path}")
    op.execute(f"ALTER FUNCTION keep_audit_entries() {path}")
    op.execute(_CREATE_WRITER_OF_KEYS.format(path=path))
    op.execute(_CREATE_REFUSAL.format(path=path))
    _set_comments(1)
    _one_by_one([*_TRIGGERS_OF_TRUNCATE, _trigger_of_factory(_CHANGED), _TRIGGER_OF_KEYS])
    # Only now: the locks of these have waited for the writes that began when the functions still ran as their caller.
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(_FUNCTIONS)} FROM PUBLIC")
    for role in op.get_bind().scalars(sa.text(_WRITING_ROLES)).all():
        op.execute(f"REVOKE INSERT ON audit_entry FROM {role}")


def downgrade() -> None:
    """Revert the migration. Roles that write resources can then insert audit entries again."""
    _one_by_one(
        [
            *(f"DROP TRIGGER IF EXISTS refuse_truncate ON {table}" for table in _AUDITED),
            _trigger_of_factory(_CHANGED_BEFORE),
            "DROP TRIGGER IF EXISTS audit_api_keys ON api_key",
        ]
    )
    _set_comments(0)
    for role in op.get_bind().scalars(sa.text(_WRITING_ROLES)).all():
        op.execute(f"GRANT INSERT ON audit_entry TO {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION {', '.join(_FUNCTIONS)} TO PUBLIC")
    op.execute("DROP FUNCTION audit_api_keys(), refuse_truncate()")
    op.execute("ALTER FUNCTION keep_audit_entries() RESET ALL")
    for function in _WRITERS:
        op.execute(f"ALTER FUNCTION {function} SECURITY INVOKER RESET ALL")
