"""Prepares commands that use the database: settings, logging, and the configured or the embedded database."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sprocket_grpc.config.production import check_database
from sprocket_grpc.config.settings import Settings, load_settings
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.embedded import default_directory, embedded_postgres
from sprocket_grpc.storage.postgres.engine import Connection, create_plain_engine, wait_for_database
from sprocket_grpc.storage.schema_version import find_problem
from sprocket_grpc.telemetry.logs import configure_logging


def load_settings_and_log() -> Settings:
    """Return the settings, and configure logging.

    Raises:
        SettingsError: A setting is invalid or unknown.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    # Alembic's other messages are of no use here: log only which migration runs, and on a terminal not even that,
    # because the commands print one line about all migrations.
    logging.getLogger("alembic.runtime.migration").addFilter(lambda record: str(record.msg).startswith("Running"))
    for silenced in ("alembic.runtime.plugins", "alembic.ddl"):
        logging.getLogger(silenced).setLevel(logging.WARNING)
    if settings.log_format == "auto" and sys.stderr.isatty():
        logging.getLogger("alembic").setLevel(logging.WARNING)
    return settings


@contextmanager
def open_database(settings: Settings, *, announce_on_stderr: bool = False) -> Iterator[str]:
    """Yield the URL of the database in the settings, or of an embedded PostgreSQL that runs until the block ends.

    Args:
        settings: The settings.
        announce_on_stderr: Whether to print messages to standard error, because standard output is for programs.

    Raises:
        SettingsError: In production, no database is configured.
        DatabaseNotReachableError: The database does not answer.
        EmbeddedDatabaseError: The embedded PostgreSQL does not start.
    """
    check_database(settings)
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        wait_for_database(url, settings.database_wait_seconds)
        yield url
        return
    directory = settings.embedded_directory or default_directory()
    click.echo(f"SPROCKET_DATABASE_URL is not set: using an embedded PostgreSQL in {directory}", err=announce_on_stderr)
    with embedded_postgres(directory, binaries=settings.embedded_binaries) as url:
        yield url


@contextmanager
def open_connection() -> Iterator[Connection]:
    """Give a connection in a transaction to the database of `open_database`, and tell people on standard error.

    Raises:
        ExpectedError: The database cannot be used, or its schema needs a migration.
    """
    with (
        open_database(load_settings_and_log(), announce_on_stderr=True) as url,
        create_plain_engine(url).begin() as connection,
    ):
        if problem := find_problem(connection):
            raise ExpectedError(problem)
        yield connection
