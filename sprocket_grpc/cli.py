"""The command line: the only place that prints."""

import click

from sprocket_grpc import __version__, migrate
from sprocket_grpc.api_key_command import api_key_command
from sprocket_grpc.audit_command import audit_command
from sprocket_grpc.chart_command.command import chart_command
from sprocket_grpc.command_setup import load_settings_and_log, open_database
from sprocket_grpc.database import DatabaseNotReachableError
from sprocket_grpc.database_commands import migrate_command, seed_command
from sprocket_grpc.embedded import EmbeddedDatabaseError
from sprocket_grpc.health_command import health_command
from sprocket_grpc.serve_command import serve_command, worker_command
from sprocket_grpc.server import AddressInUseError
from sprocket_grpc.settings import SettingsError
from sprocket_grpc.tls import TlsError
from sprocket_grpc.workers import WorkerError

_EXPECTED_ERRORS = (
    AddressInUseError,
    DatabaseNotReachableError,
    EmbeddedDatabaseError,
    SettingsError,
    TlsError,
    WorkerError,
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


main.add_command(api_key_command)
main.add_command(chart_command)
main.add_command(health_command)
main.add_command(migrate_command)
main.add_command(seed_command)
main.add_command(serve_command)
main.add_command(worker_command)
main.add_command(audit_command(lambda: open_database(load_settings_and_log(), say_to_errors=True)))
