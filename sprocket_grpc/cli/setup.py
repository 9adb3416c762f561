"""What commands begin with: the settings, and the database that they name or the private one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sprocket_grpc.config.production import check_database
from sprocket_grpc.config.settings import Settings, load_settings
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.embedded import default_directory, embedded_postgres
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.postgres.engine import create_plain_engine, wait_for_database
from sprocket_grpc.storage.schema_version import find_problem
from sprocket_grpc.telemetry.logs import configure_logging


def load_settings_and_log() -> Settings:
    """Read the settings, and log as they say.

    Raises:
        SettingsError: One of them is wrong, or is not known.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    # Of what alembic says, only which migration runs tells a person anything.
    logging.getLogger("alembic.runtime.migration").addFilter(lambda record: str(record.msg).startswith("Running"))
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    return settings


@contextmanager
def open_database(settings: Settings, *, say_to_errors: bool = False) -> Iterator[str]:
    """Give the URL of the database that the settings name, or of the private one.

    Args:
        settings: The settings.
        say_to_errors: Whether standard output is for programs, so that people are told on standard error.

    Raises:
        SettingsError: It would be the private one, and this is production.
        DatabaseNotReachableError: It does not answer.
        EmbeddedDatabaseError: The private one cannot be had.
    """
    check_database(settings)
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        wait_for_database(url, settings.database_wait_seconds)
        yield url
        return
    directory = settings.embedded_directory or default_directory()
    click.echo(f"SPROCKET_DATABASE_URL is not set: using a private PostgreSQL in {directory}", err=say_to_errors)
    with embedded_postgres(directory, binaries=settings.embedded_binaries) as url:
        yield url


@contextmanager
def open_connection() -> Iterator[Connection]:
    """Give a connection in a transaction to the database of `open_database`, and tell people on standard error.

    Raises:
        ExpectedError: The database cannot be used, or its schema needs a migration.
    """
    with (
        open_database(load_settings_and_log(), say_to_errors=True) as url,
        create_plain_engine(url).begin() as connection,
    ):
        if problem := find_problem(connection):
            raise ExpectedError(problem)
        yield connection
