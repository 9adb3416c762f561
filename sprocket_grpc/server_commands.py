"""`sprocket-grpc serve`, `migrate` and `seed`: the service and its database."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import click
import uvloop

from sprocket_grpc import __version__
from sprocket_grpc.addresses import reachable
from sprocket_grpc.command_setup import load_settings_and_log, open_database
from sprocket_grpc.database import create_plain_engine, describe
from sprocket_grpc.production import check_sample_data, check_serving
from sprocket_grpc.seed import seed
from sprocket_grpc.serving import Started, serve
from sprocket_grpc.settings import Settings
from sprocket_grpc.store.schema import find_problem, read_revision


@click.command("serve")
def serve_command() -> None:
    """Serve until Ctrl-C or SIGTERM.

    A private database is migrated first, and gets the sample data when it is new.
    """
    settings = load_settings_and_log()
    check_serving(settings)
    with open_database(settings) as url:
        if settings.database_url is None:
            _prepare(url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, url, _announcement(settings, url)))
    click.echo("stopped")


@click.command("migrate")
@click.argument("revision", default="head")
@click.option("--down", is_flag=True, help="Undo migrations down to REVISION; `base` undoes all, and their data.")
@click.option(
    "--check", is_flag=True, help="Change nothing; fail unless tables, columns and indexes are what this version makes."
)
def migrate_command(revision: str, *, down: bool, check: bool) -> None:
    """Bring the schema of the database up to REVISION, by default the newest."""
    from sprocket_grpc import migrate  # noqa: PLC0415  # Alembic takes long to import, and a server needs none of it

    with open_database(load_settings_and_log()) as url:
        if check:
            migrate.check(url)
        elif down:
            if revision == "head":
                raise click.UsageError("--down wants the REVISION to go down to, such as 0001 or base")
            migrate.downgrade(url, revision)
        else:
            migrate.upgrade(url, revision)
        click.echo(f"{describe(url)} is at revision {_revision(url) or 'base'}")


@click.command("seed")
def seed_command() -> None:
    """Add the sample data, where it is missing."""
    settings = load_settings_and_log()
    check_sample_data(settings)
    with open_database(settings) as url:
        _seed(url)
        click.echo(f"the sample data is in {describe(url)}")


def _prepare(url: str) -> None:
    from sprocket_grpc import migrate  # noqa: PLC0415  # as above

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


def _announcement(settings: Settings, url: str) -> Callable[[Started], None]:
    database = describe(url) if settings.database_url else "the private PostgreSQL"

    def announce(started: Started) -> None:
        host = settings.listen.rpartition(":")[0]
        target = reachable(f"{host}:{started.port}")
        click.echo(f"sprocket-grpc {__version__} listens on {host}:{started.port}, with {database}")
        if settings.health_listen:
            health_host = settings.health_listen.rpartition(":")[0]
            click.echo(f"health alone, without TLS, on {health_host}:{started.health_port}")
        if started.problem:
            click.echo(f"It is NOT_SERVING yet: {started.problem}")
        click.echo("Next, in another terminal:")
        click.echo(f"  {_program()} health --server {target}{' --tls-ca CA' if settings.tls_certificate else ''}")
        click.echo(f"  grpcurl {_options(settings)} {target} sprocket.v1.FactoryService/ListFactories")
        click.echo("Ctrl-C stops it.")

    return announce


def _options(settings: Settings) -> str:
    """Say how grpcurl calls: what is in capitals is for the reader to fill in."""
    transport = ["-cacert CA"] if settings.tls_certificate else ["-plaintext"]
    client = ["-cert CERTIFICATE -key KEY"] if settings.tls_client_ca else []
    bearer = ["-H 'authorization: Bearer KEY'"] if settings.api_keys or settings.jwt_jwks else []
    contract = [] if settings.reflects else ["-import-path protos -proto sprocket/v1/factory.proto"]
    return " ".join(transport + client + bearer + contract)


def _program() -> str:
    """Name this program as it was typed, which may be the path into an environment that is not active."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "sprocket-grpc" else "sprocket-grpc"
