"""Let the audit log name the caller of each resource when one statement creates resources for several callers.

Such a statement sets `sprocket.callers`: a JSON object that maps the id of a resource to an object like
`sprocket.caller` (see 0003). Resources that it does not list have the caller of `sprocket.caller`, so that servers of
the previous version still work.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
required_by_server = True

# The function of 0003 plus the callers. CREATE OR REPLACE keeps its triggers, which may be in use.
_CREATE = """
CREATE OR REPLACE FUNCTION audit_inserts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    caller jsonb := coalesce(nullif(current_setting('sprocket.caller', true), ''), '{{}}')::jsonb;
    callers jsonb := coalesce(nullif({callers}, ''), '{{}}')::jsonb;
    internal text[] := '{{chart_sequence,chart_time_micros}}';
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
           written.after - internal
    FROM (
        SELECT clock_timestamp() AS moment, coalesce(callers -> added.id::text, caller) AS caller, added.id,
               to_jsonb(added) AS after
        FROM added
    ) AS written;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Apply the migration."""
    op.execute(_CREATE.format(callers="current_setting('sprocket.callers', true)"))


def downgrade() -> None:
    """Revert the migration. Resources that are created together are then logged with the role of the session."""
    op.execute(_CREATE.format(callers="''"))
