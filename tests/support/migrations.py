"""The migrations, as alembic reads them."""

from alembic.script import ScriptDirectory

from tests import ROOT

SCRIPTS = [*ScriptDirectory(str(ROOT / "migrations")).walk_revisions()][::-1]
"""The oldest first."""

NEWEST_REVISION = SCRIPTS[-1].revision
"""To which `sprocket-grpc migrate` brings the schema. `SCHEMA_REVISION` is the newest one that the server requires."""

[_PROTECTION] = [script for script in SCRIPTS if "protect_audit_log" in script.path]
BEFORE_PROTECTION = str(_PROTECTION.down_revision)
"""The revision before the one that puts the audit log and the API keys beyond the reach of the server's role."""

[_PAGES] = [script for script in SCRIPTS if "create_chart_page" in script.path]
BEFORE_PAGES = str(_PAGES.down_revision)
"""The revision before the one that creates the pages of charts."""

[_EXPIRY] = [script for script in SCRIPTS if "expire_charts" in script.path]
BEFORE_EXPIRY = str(_EXPIRY.down_revision)
"""The revision before the one that lets entries of charts expire."""

[_INDEXES] = [script for script in SCRIPTS if "index_fields_of_sprocket" in script.path]
BEFORE_INDEXES = str(_INDEXES.down_revision)
"""The revision before the one that indexes sprockets, of which there may be millions."""

[_PARTITIONS] = [script for script in SCRIPTS if "partition_audit_log" in script.path]
PARTITIONS = _PARTITIONS.revision
BEFORE_PARTITIONS = str(_PARTITIONS.down_revision)
"""The revision before the one that partitions the audit log by month."""
