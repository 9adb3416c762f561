"""${message}.

Rules of a migration:
- The previous version of the service goes on serving meanwhile and afterwards: add first (expand), and
  remove in a later release what no running version reads any more (contract).
- Nothing rewrites or scans a large table under a lock: a column gets no volatile default, a constraint is
  added NOT VALID and validated in a migration of its own, and an index on sprocket or chart_entry is
  created CONCURRENTLY in `with op.get_context().autocommit_block():`.
- It gives up after `lock_timeout` (env.py) rather than queue all requests behind it. Run it again.
- Constraints have the names that the naming convention in tables.py gives them.
- `downgrade` undoes it, and says in a comment what data it cannot bring back.
- SCHEMA_REVISION in tables.py becomes this revision once the service needs it.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Apply."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo."""
    ${downgrades if downgrades else "pass"}
