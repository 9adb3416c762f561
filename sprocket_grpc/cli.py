"""The command line: the only place that prints."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import grpc
import uvloop
from grpc_health.v1 import health_pb2

from sprocket_grpc import __version__, migrate
from sprocket_grpc.addresses import reachable
from sprocket_grpc.audit_command import audit_command
from sprocket_grpc.chart_command.command import chart_command
from sprocket_grpc.database import DatabaseNotReachableError, create_plain_engine, describe, wait_for_database
from sprocket_grpc.embedded import EmbeddedDatabaseError, default_directory, embedded_postgres
from sprocket_grpc.seed import seed
from sprocket_grpc.server import AddressInUseError
from sprocket_grpc.serving import serve
from sprocket_grpc.settings import Settings, SettingsError, load_settings
from sprocket_grpc.store.schema import find_problem, read_revision
from sprocket_grpc.telemetry.log_lines import configure_logging

HEALTH_TIMEOUT_SECONDS = 5

_EXPECTED_ERRORS = (
    AddressInUseError,
    DatabaseNotReachableError,
    EmbeddedDatabaseError,
    SettingsError,
    migrate.MigrationError,
)


class _Commands(click.Group):
    """Ends a command with status 1 and a line that says what to do, for all that can be expected to go wrong."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except _EXPECTED_ERRORS as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="sprocket-grpc")
def main() -> None:
    """Locations, sprocket types, factories, sprockets and production charts, as a gRPC service.

    Settings come from SPROCKET_* variables of the environment. Without SPROCKET_DATABASE_URL all commands
    use a private PostgreSQL that keeps its data between runs.
    """


@main.command("serve")
def serve_command() -> None:
    """Serve until Ctrl-C or SIGTERM.

    A private database is migrated first, and gets the sample data when it is new.
    """
    settings = _load_settings()
    with _database(settings) as url:
        if settings.database_url is None:
            _prepare(url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, url, _announcement(settings, url)))
    click.echo("stopped")


@main.command("migrate")
@click.argument("revision", default="head")
@click.option("--down", is_flag=True, help="Undo migrations down to REVISION; `base` undoes all, and their data.")
@click.option(
    "--check", is_flag=True, help="Change nothing; fail unless tables, columns and indexes are what this version makes."
)
def migrate_command(revision: str, *, down: bool, check: bool) -> None:
    """Bring the schema of the database up to REVISION, by default the newest."""
    with _database(_load_settings()) as url:
        if check:
            migrate.check(url)
        elif down:
            if revision == "head":
                raise click.UsageError("--down wants the REVISION to go down to, such as 0001 or base")
            migrate.downgrade(url, revision)
        else:
            migrate.upgrade(url, revision)
        click.echo(f"{describe(url)} is at revision {_revision(url) or 'base'}")


@main.command("seed")
def seed_command() -> None:
    """Add the sample data, where it is missing."""
    with _database(_load_settings()) as url:
        _seed(url)
        click.echo(f"the sample data is in {describe(url)}")


@main.command("health")
@click.option("--service", default="", help="The full name of a service, such as sprocket.v1.FactoryService.")
@click.option("--server", help="The address to ask. Default: SPROCKET_LISTEN.")
def health_command(service: str, server: str | None) -> None:
    """Ask a server whether it is SERVING; exit status 0 means yes. For the health checks of containers."""
    target = server or reachable(_load_settings().listen)
    status = _ask(target, service)
    click.echo(status)
    raise SystemExit(0 if status == "SERVING" else 1)


main.add_command(chart_command)


def _load_settings() -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    # Of what alembic says, only which migration runs tells a person anything.
    logging.getLogger("alembic.runtime.migration").addFilter(lambda record: str(record.msg).startswith("Running"))
    return settings


@contextmanager
def _database(settings: Settings, *, say_to_errors: bool = False) -> Iterator[str]:
    """Give the URL of the database that the settings name, or of the private one."""
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        wait_for_database(url, settings.database_wait_seconds)
        yield url
        return
    directory = settings.embedded_directory or default_directory()
    click.echo(f"SPROCKET_DATABASE_URL is not set: using a private PostgreSQL in {directory}", err=say_to_errors)
    with embedded_postgres(directory, binaries=settings.embedded_binaries) as url:
        yield url


def _prepare(url: str) -> None:
    is_new = _revision(url) is None
    migrate.upgrade(url)
    if is_new:
        _seed(url)
        click.echo("made its tables and added the sample data")


def _seed(url: str) -> None:
    with create_plain_engine(url).begin() as connection:
        if problem := find_problem(connection):
            raise click.ClickException(problem)
        seed(connection)


def _revision(url: str) -> str | None:
    with create_plain_engine(url).connect() as connection:
        return read_revision(connection)


def _announcement(settings: Settings, url: str) -> Callable[[int, str | None], None]:
    database = describe(url) if settings.database_url else "the private PostgreSQL"

    def announce(port: int, problem: str | None) -> None:
        host = settings.listen.rpartition(":")[0]
        target = reachable(f"{host}:{port}")
        click.echo(f"sprocket-grpc {__version__} listens on {host}:{port}, with {database}")
        if problem:
            click.echo(f"It is NOT_SERVING yet: {problem}")
        click.echo("Next, in another terminal:")
        click.echo(f"  {_program()} health --server {target}")
        click.echo(f"  grpcurl -plaintext {target} sprocket.v1.FactoryService/ListFactories")
        click.echo("Ctrl-C stops it.")

    return announce


def _program() -> str:
    """Name this program as it was typed, which may be the path into an environment that is not active."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "sprocket-grpc" else "sprocket-grpc"


def _ask(target: str, service: str) -> str:
    with grpc.insecure_channel(target) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            response = check(health_pb2.HealthCheckRequest(service=service), timeout=HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(_explain(error, target, service)) from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def _explain(error: grpc.RpcError, target: str, service: str) -> str:
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"{target} has no service called {service}"
    return f"{target} does not answer: {error.code().name}"


main.add_command(audit_command(lambda: _database(_load_settings(), say_to_errors=True)))
