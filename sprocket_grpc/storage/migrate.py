"""Applies and undoes migrations, by Alembic."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_check import differences
from sprocket_grpc.storage.schema_version import read_revision

_NO_LIMITS = {"idle_in_transaction_session_timeout": "0", "statement_timeout": "0"}
"""Limits of the role would end the building of an index, and the session that keeps other migrations out."""


class MigrationError(ExpectedError):
    """A migration failed, or the schema differs from the tables. Nothing was changed."""


class NewerSchemaError(MigrationError):
    """The schema is at a revision that this version does not know."""


def upgrade(
    url: str,
    revision: str = "head",
    role: str | None = None,
    audit_retention_days: int | None = None,
    chart_retention_days: int | None = None,
) -> None:
    """Apply the migrations up to a revision.

    A schema that only a newer version knows stays as it is, if the newest revision is asked for: it serves this version
    too, so that this version can be started again after a rollback.

    Args:
        url: The URL of the database, for the role that owns its tables.
        revision: The revision, by default the newest.
        role: The role of the server, to which the same transaction grants what it needs; only with the newest schema.
        audit_retention_days: The fewest days that the server may keep entries of the audit log; None keeps all of them.
            It is recorded with the newest revision.
        chart_retention_days: The same for entries of charts.

    Raises:
        MigrationError: The revision or role does not exist, a lock timed out, or the owner lacks a privilege.
    """
    owner: dict[str, object] = {
        "role": role,
        "audit_retention_days": audit_retention_days,
        "chart_retention_days": chart_retention_days,
    }
    try:
        _run(url, lambda config: command.upgrade(config, revision), owner if revision == "head" else {})
    except NewerSchemaError:
        if revision != "head":
            raise


def downgrade(url: str, revision: str) -> None:
    """Undo the migrations down to a revision, or to `base`, which leaves nothing.

    Raises:
        MigrationError: As for `upgrade`.
    """
    _run(url, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Check that the newest migration is applied, and that the schema has no manual changes.

    It compares tables, columns, constraints, indexes, partitions, triggers and functions.

    Raises:
        MigrationError: They differ.
    """
    _run(url, _check)


def _check(config: Config) -> None:
    command.check(config)
    if found := differences(config.attributes["connection"]):
        raise CommandError(f"the schema differs: {'; '.join(found)}")


def _unknown_revision(config: Config) -> str | None:
    """Return the revision of the schema if this version does not know it."""
    revision = read_revision(config.attributes["connection"])
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    return None if revision in {None, *known} else revision


def _run(url: str, what: Callable[[Config], None], owner: Mapping[str, object] = MappingProxyType({})) -> None:
    """Do something with Alembic, to whose environment goes what the owner says with the newest schema."""
    engine = create_plain_engine(url, **_NO_LIMITS)
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
            config.attributes |= {"connection": connection, **owner}
            _run_on_known_schema(what, config)
            connection.commit()
    except (CommandError, DBAPIError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise MigrationError(" ".join(str(reason).split())) from error


def _run_on_known_schema(what: Callable[[Config], None], config: Config) -> None:
    """Do something with Alembic. If it fails because this version does not know the schema, say so.

    The revision is read only after a failure: another migration may hold a lock on it.
    """
    try:
        what(config)
    except CommandError as error:
        config.attributes["connection"].rollback()
        if unknown := _unknown_revision(config):
            wrong = f"the schema is at revision {unknown}, which only a newer version of sprocket-grpc knows"
            raise NewerSchemaError(wrong) from error
        raise


def _scripts() -> Path:
    """Find the migrations: inside an installed package, or at the top level of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
