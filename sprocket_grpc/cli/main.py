"""The command line: the list of commands, and the import of the one that runs."""

import os
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from sprocket_grpc import __version__
from sprocket_grpc.cli.client.output import printable_lines
from sprocket_grpc.cli.suggestions import did_you_mean
from sprocket_grpc.errors import ExpectedError


class _Entry(NamedTuple):
    """A command in the list of commands.

    Attributes:
        module: Its module in this package.
        name: Its name there.
        help: The first sentence of its help.
        is_client: Whether it calls a server with gRPC.
    """

    module: str
    name: str
    help: str
    is_client: bool = False


COMMANDS = {
    "api-key": _Entry(
        "api_key.command",
        "api_key_command",
        "Create, list and revoke API keys, which servers with SPROCKET_API_KEYS=true accept.",
    ),
    "audit": _Entry(
        "audit.command",
        "audit_command",
        "Show who changed which resource, when and how, the newest first.",
        is_client=True,
    ),
    "chart": _Entry(
        "chart.command",
        "chart_command",
        "Draw the production goal and the actual production of FACTORY over time.",
        is_client=True,
    ),
    "completion": _Entry(
        "completion",
        "completion_command",
        "Print a script that makes a shell complete commands, resources and options.",
    ),
    "create": _Entry("resources.commands", "create_command", "Create a resource from options or JSON.", is_client=True),
    "delete": _Entry("resources.commands", "delete_command", "Delete resources by id or display name.", is_client=True),
    "demo": _Entry("demo", "demo_command", "Simulate the production of FACTORY until Ctrl-C.", is_client=True),
    "export": _Entry(
        "resources.export_command", "export_command", "Export resources to a CSV or JSON file.", is_client=True
    ),
    "get": _Entry("resources.listing", "get_command", "Get resources by id or display name.", is_client=True),
    "health": _Entry(
        "health", "health_command", "Check whether a server is SERVING; exit status 0 means yes.", is_client=True
    ),
    "import": _Entry(
        "resources.import_command", "import_command", "Import resources from a CSV or JSON file.", is_client=True
    ),
    "list": _Entry(
        "resources.listing", "list_command", "List resources, optionally filtered and ordered.", is_client=True
    ),
    "man": _Entry(
        "man", "man_command", "Print the manual page of all commands, for man and packages of distributions."
    ),
    "migrate": _Entry("database", "migrate_command", "Apply migrations up to REVISION."),
    "repack": _Entry("repack", "repack_command", "Pack the old entries of all charts into pages now."),
    "seed": _Entry("database", "seed_command", "Add the sample data that is missing from the database."),
    "serve": _Entry(
        "serve", "serve_command", "Serve until Ctrl-C or SIGTERM; a second signal stops the server immediately."
    ),
    "update": _Entry("resources.commands", "update_command", "Update some fields of a resource.", is_client=True),
}
"""The help of every command is repeated here, so that the list of commands imports none of them."""


class _Commands(click.Group):
    """A group that imports a command when it is used, and reports expected errors in one line with exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click passes it
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"sprocket_grpc.cli.{entry.module}"), entry.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        entry = COMMANDS.get(args[0]) if args else None
        if args and not entry and not args[0].startswith("-") and not ctx.resilient_parsing:
            suggestion = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"no such command {args[0]!r}; {suggestion}`sprocket-grpc --help` lists all", ctx)
        if entry and entry.is_client and not ctx.resilient_parsing:  # completion resolves commands too, but runs none
            _silence_grpc()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable_lines(error.message)  # type: ignore[misc]  # click's classes only read it
            raise
        except ExpectedError as error:
            raise click.ClickException(str(error)) from error


def _silence_grpc() -> None:
    """Keep gRPC's own log off standard error: a client command explains a failed connection in one line itself.

    gRPC reads the variable once, when it is imported, which importing the command does. A value set by the user wins.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sprocket-grpc")
def main() -> None:
    """Locations, sprocket types, factories, sprockets and production charts, as a gRPC service.

    Settings come from SPROCKET_* environment variables. Without SPROCKET_DATABASE_URL, all commands use an embedded
    PostgreSQL that keeps its data between runs.
    """
