"""${message}.

Rules of a migration:
- The previous version of the service must work during and after the migration: add first (expand), and
  remove in a later release what no running version reads any more (contract).
- Do not rewrite or scan a large table under a lock: add columns without a volatile default, add constraints
  NOT VALID and validate them in a separate migration, and create indexes on sprocket or chart_entry
  CONCURRENTLY in `with op.get_context().autocommit_block():`.
- A migration that does not get a lock within `lock_timeout` (env.py) fails, so that requests do not queue
  behind it. Run it again.
- Constraints get their names from the naming convention in tables.py.
- `downgrade` reverts it, and a comment says which data it cannot restore.
- `required_by_server` is True if this version of the server needs the migration, as it needs a new column.
  Set SCHEMA_REVISION in tables.py to the newest such migration: new pods become ready when it is applied.
  With False, as for a VALIDATE or an index, SCHEMA_REVISION stays, and pods do not wait.
Replace this text with what the migration does.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
required_by_server = None  # True or False: see above


def upgrade() -> None:
    """Apply the migration."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Revert the migration."""
    ${downgrades if downgrades else "pass"}
