"""The command line: which commands there are. Each is imported only when it is used."""

import os
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from sprocket_grpc import __version__
from sprocket_grpc.errors import ExpectedError


class _Place(NamedTuple):
    """Where a command is, and what the list of commands says of it.

    Attributes:
        module: Its module in this package.
        name: Its name there.
        help: The first sentence of its help.
    """

    module: str
    name: str
    help: str


COMMANDS = {
    "api-key": _Place(
        "api_key.command",
        "api_key_command",
        "Make, list and revoke the keys with which programs may call (SPROCKET_API_KEYS=true).",
    ),
    "audit": _Place(
        "audit.command", "audit_command", "Show who changed which resource, when and how, the newest first."
    ),
    "chart": _Place(
        "chart.command",
        "chart_command",
        "Draw the production goal and the actual production of FACTORY over time.",
    ),
    "completion": _Place(
        "resources.completion",
        "completion_command",
        "Print what makes a shell complete commands, resources and options.",
    ),
    "create": _Place("resources.commands", "create_command", "Create a resource from options or JSON."),
    "delete": _Place("resources.commands", "delete_command", "Delete resources by their ids."),
    "export": _Place("resources.export_command", "export_command", "Export resources to a CSV or JSON file."),
    "get": _Place("resources.commands", "get_command", "Get resources by their ids."),
    "health": _Place("health", "health_command", "Ask a server whether it is SERVING; exit status 0 means yes."),
    "import": _Place("resources.import_command", "import_command", "Import resources from a CSV or JSON file."),
    "list": _Place("resources.commands", "list_command", "List resources: those a filter lets through, in an order."),
    "migrate": _Place("database", "migrate_command", "Bring the schema of the database up to REVISION."),
    "seed": _Place("database", "seed_command", "Add the sample data, where it is missing."),
    "serve": _Place("serve", "serve_command", "Serve until Ctrl-C or SIGTERM; a second one waits for nothing."),
    "update": _Place("resources.commands", "update_command", "Update some fields of a resource."),
}
"""Said here, so that the list of commands need not import them all: a client has no use for a server's libraries."""

_HIDDEN = {"worker": _Place("serve", "worker_command", "")}  # which `serve` alone starts


class _Commands(click.Group):
    """Ends a command with status 1 and a line that says what to do, for all that can be expected to go wrong."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click passes it
        place = (COMMANDS | _HIDDEN).get(cmd_name)
        if place is None:
            return None
        if place.module != "serve":
            # Or else gRPC prints what an error says in a line. It reads this when it is imported.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        command: click.Command = getattr(import_module(f"sprocket_grpc.cli.{place.module}"), place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=place.help) for name, place in COMMANDS.items() if name.startswith(incomplete)
        ]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ExpectedError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="sprocket-grpc")
def main() -> None:
    """Locations, sprocket types, factories, sprockets and production charts, as a gRPC service.

    Settings come from SPROCKET_* variables of the environment. Without SPROCKET_DATABASE_URL all commands
    use a private PostgreSQL that keeps its data between runs.
    """
