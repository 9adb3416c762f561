"""Commands that are printed so that people copy them into another terminal: complete, and quoted for a shell."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from sprocket_grpc.cli.client.connection import Connection
from sprocket_grpc.config.environment import CLIENT_PREFIX

_NAME = "sprocket-grpc"


def program() -> str:
    """Return this program as it was typed, which may be a path into a virtual environment that is not active."""
    typed = sys.argv[0]
    return shlex.quote(typed) if Path(typed).name == _NAME else _NAME


def client_command(connection: Connection, *words: str) -> str:
    """Return a client command that reaches the same server from any directory, with none of our variables.

    A key that is in a variable is not shown: the command has a placeholder in capitals for a file with the key.

    Args:
        connection: How this command reaches the server.
        words: The name and the arguments of the other command.
    """
    return f"{_program_anywhere()} {shlex.join([*words, *_options(connection)])}"


def _program_anywhere() -> str:
    typed = sys.argv[0]
    return shlex.quote(str(Path(typed).absolute())) if "/" in typed and Path(typed).name == _NAME else program()


def _options(connection: Connection) -> Iterator[str]:
    yield from ("--server", connection.address)
    for name in ("tls_ca", "tls_certificate", "tls_key", "api_key_file"):
        if path := getattr(connection, name):
            yield from (f"--{name.replace('_', '-')}", str(path.absolute()))
    if not connection.api_key_file and os.environ.get(f"{CLIENT_PREFIX}API_KEY"):
        yield from ("--api-key-file", "FILE")
    if connection.insecure:
        yield "--insecure"
