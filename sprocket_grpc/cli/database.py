"""`sprocket-grpc migrate` and `sprocket-grpc seed`: change the schema and add the sample data."""

from datetime import UTC, datetime

import click

from sprocket_grpc.cli.setup import load_settings_and_log, open_database
from sprocket_grpc.config.database_url import describe
from sprocket_grpc.config.production import check_sample_data
from sprocket_grpc.storage.chart_pages import enable_packing
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_version import find_problem, read_revision
from sprocket_grpc.storage.seed import seed


@click.command("migrate")
@click.argument("revision", default="head")
@click.option(
    "--down", is_flag=True, help="Revert migrations down to REVISION; `base` reverts all of them and deletes all data."
)
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing; fail unless the schema is exactly that of this version.",
)
@click.option(
    "--grant",
    "role",
    metavar="ROLE",
    help="The role that the server connects as. It gets the privileges that the server needs, no more.",
)
def migrate_command(revision: str, *, down: bool, check: bool, role: str | None) -> None:
    """Apply migrations up to REVISION, by default the newest. The schema of a newer version stays as it is."""
    if role and (down or check or revision != "head"):
        raise click.UsageError("--grant is for the newest schema: leave REVISION, --down and --check out")
    from sprocket_grpc.storage import migrate  # noqa: PLC0415  # Alembic is slow to import, and `serve` with a database of its own does not need it

    settings = load_settings_and_log()
    with open_database(settings) as url:
        if check:
            migrate.check(url)
        elif down:
            if revision == "head":
                raise click.UsageError("--down requires the REVISION to revert to, such as 0001 or base")
            migrate.downgrade(url, revision)
        else:
            migrate.upgrade(url, revision, role, settings.audit_retention_days, settings.chart_retention_days)
        click.echo(f"{describe(url)} is at revision {_revision(url) or 'base'}")


@click.command("seed")
def seed_command() -> None:
    """Add the sample data that is missing from the database."""
    settings = load_settings_and_log()
    check_sample_data(settings)
    with open_database(settings) as url:
        _seed(url)
        click.echo(f"{describe(url)} has the sample data")


def prepare(url: str, audit_retention_days: int | None, chart_retention_days: int | None) -> None:
    """Migrate an embedded database, and add the sample data if the database is new."""
    from sprocket_grpc.storage import migrate  # noqa: PLC0415  # as above

    before = _revision(url)
    migrate.upgrade(url, audit_retention_days=audit_retention_days, chart_retention_days=chart_retention_days)
    with create_plain_engine(url).begin() as connection:
        enable_packing(connection)  # servers of other versions do not share it
    after = _revision(url)
    if before is None:
        _seed(url)
        click.echo("created the tables and added the sample data")
    elif before != after:
        click.echo(f"applied the migrations after {before}, up to {after}")


def _seed(url: str) -> None:
    with create_plain_engine(url).begin() as connection:
        if problem := find_problem(connection):
            raise click.ClickException(problem)
        seed(connection, end=datetime.now(UTC))


def _revision(url: str) -> str | None:
    with create_plain_engine(url).connect() as connection:
        return read_revision(connection)
