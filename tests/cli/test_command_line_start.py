"""The start of commands: each imports what it needs and nothing else."""

import json
import subprocess
import sys

import click
import pytest

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
    """Return the packages that a command has imported when it ends."""
    command = [sys.executable, "-c", _IMPORTED, json.dumps(arguments)]
    variables = environment({})
    done = subprocess.run(command, capture_output=True, check=True, env=variables, text=True, timeout=PATIENCE_SECONDS)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command
    assert command.name == name
    sentences = " ".join((command.help or "").split())
    assert sentences.startswith(COMMANDS[name].help.rstrip("."))


def test_the_list_of_commands_imports_none_of_them() -> None:
    assert not imported_by("--help") & {*SERVER_LIBRARIES, *DRAWING_LIBRARIES, "grpc"}


def test_a_server_imports_neither_what_migrates_nor_what_draws() -> None:
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
def test_a_client_imports_nothing_of_a_server(command: tuple[str, ...]) -> None:
    imported = imported_by(*command)
    assert "click" in imported
    assert not imported & SERVER_LIBRARIES
