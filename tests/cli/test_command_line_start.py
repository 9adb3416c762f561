"""The start of commands: a command imports only what it needs, and looking one up has no side effects."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import BashComplete

from sprocket_grpc.cli.main import COMMANDS, main
from tests.support.command_line import PATIENCE_SECONDS, environment

SERVER_LIBRARIES = {"alembic", "cryptography", "limits", "psycopg", "pydantic", "sqlalchemy", "uvloop"}
DRAWING_LIBRARIES = {"matplotlib", "plotext"}

_IMPORTED = """
import json, sys
from sprocket_grpc.cli.main import main
try:
    main(json.loads(sys.argv[1]), prog_name="sprocket-grpc")
except SystemExit:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(*arguments: str) -> set[str]:
    """Return the packages that are imported when a command has ended."""
    command = [sys.executable, "-c", _IMPORTED, json.dumps(arguments)]
    variables = environment({})
    done = subprocess.run(command, capture_output=True, check=True, env=variables, text=True, timeout=PATIENCE_SECONDS)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_the_help_of_every_command(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command
    assert command.name == name
    sentences = " ".join((command.help or "").split())
    assert sentences.startswith(COMMANDS[name].help.rstrip("."))


@pytest.mark.parametrize("name", COMMANDS)
def test_looking_a_command_up_or_completing_it_changes_no_environment_variable(name: str) -> None:
    before = dict(os.environ)
    main.get_command(click.Context(main), name)
    BashComplete(main, {}, "sprocket-grpc", "_COMPLETE").get_completions([name], "")
    assert dict(os.environ) == before


def test_commands_that_call_a_server_are_marked_as_clients() -> None:
    calling = {name for name, entry in COMMANDS.items() if "--server" in _option_names(name)}
    assert calling == {name for name, entry in COMMANDS.items() if entry.is_client}


def _option_names(name: str) -> set[str]:
    """Return the options of a command, or of its first subcommand."""
    context = click.Context(main)
    command = main.get_command(context, name)
    while isinstance(command, click.Group):
        command = command.get_command(context, command.list_commands(context)[0])
    assert command
    return {option for parameter in command.params for option in parameter.opts}


def test_the_list_of_commands_imports_no_command() -> None:
    assert not imported_by("--help") & {*SERVER_LIBRARIES, *DRAWING_LIBRARIES, "grpc"}


def test_a_server_imports_neither_alembic_nor_drawing_libraries() -> None:
    imported = imported_by("serve", "--help")
    assert {"sqlalchemy", "grpc"} < imported
    assert not imported & {*DRAWING_LIBRARIES, "alembic"}


@pytest.mark.parametrize(
    "command",
    [
        ("list", "sprockets", "--help"),
        ("create", "location", "--help"),
        ("export", "factories", "--help"),
        ("import", "sprockets", "--help"),
        ("completion", "bash"),
        ("chart", "--help"),
        ("health", "--help"),
        ("audit", "--help"),
        ("audit", "--server", "127.0.0.1:1", "--timeout", "0.01"),
        ("api-key", "create", "--help"),
        ("list", "factories", "--server", "127.0.0.1:1", "--timeout", "0.01"),
    ],
    ids=" ".join,
)
def test_a_client_command_imports_no_server_library(command: tuple[str, ...]) -> None:
    imported = imported_by(*command)
    assert "click" in imported
    assert not imported & SERVER_LIBRARIES
