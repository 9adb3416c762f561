"""`sprocket-grpc api-key`: creates, lists and revokes API keys."""

import re
import shutil
import sys
import uuid
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from sprocket_grpc.cli.api_key.table import format_keys
from sprocket_grpc.cli.client.output import show
from sprocket_grpc.cli.libraries import server_libraries

if TYPE_CHECKING:
    from sprocket_grpc.cli.api_key.database import Keys

_NEEDED = (
    "`sprocket-grpc api-key` works on the database: run it where the server runs, with SPROCKET_DATABASE_URL and the "
    "server's libraries (pip install 'sprocket-grpc[server]')"
)

_HOURS = {"h": 1, "d": 24}

_LONGEST_NAME = 63


class _Expiry(click.ParamType[int]):
    """Converts 12h or 90d to hours."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([1-9]\d{0,4})([hd])", str(value))
        if not match:
            self.fail("expected a number of hours or days, such as 12h or 90d", param, ctx)
        return int(match[1]) * _HOURS[match[2]]


@click.group("api-key")
def api_key_command() -> None:
    """Create, list and revoke API keys, which servers with SPROCKET_API_KEYS=true accept.

    The command works on the database that SPROCKET_DATABASE_URL names, or on the embedded PostgreSQL.
    """


def _current_name(option: str) -> str:
    """Return the name of an option today: --permission was --right before 0.1.0."""
    return "permission" if option == "right" else option


@api_key_command.command("create", context_settings={"token_normalize_func": _current_name})
@click.argument("name")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    required=True,
    help="A permission of the key: read, write, which includes read, admin, which includes write, or "
    "that of a single service, such as sprockets.write. Can be repeated.",
)
@click.option(
    "--factory",
    "factories",
    metavar="ID",
    type=click.UUID,
    multiple=True,
    help="Limit the key to writing the factory ID and its sprockets, and to its chart. Can be repeated. Default: no "
    "limit.",
)
@click.option(
    "--expires", "hours", type=_Expiry(), help="How long the key is valid, such as 12h or 90d. Default: until revoked."
)
def create_command(
    name: str, permissions: tuple[str, ...], factories: tuple[uuid.UUID, ...], hours: int | None
) -> None:
    """Create a key for NAME, and print it.

    NAME is, for example, the program that uses the key. The key cannot be printed again.

    Keys may share a name, so that a new key can replace an old one before the old one is revoked.
    """
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise click.UsageError(f"NAME: expected 1 to {_LONGEST_NAME} printable characters")
    _check_permissions(permissions)
    with _open_keys() as keys:
        made = keys.create(name, sorted(set(permissions)), sorted(set(map(str, factories))), hours)
    click.echo(f"created the key {made.id}; it is printed only this once:", err=True)
    click.echo(made.text)


@api_key_command.command("list", short_help="List all keys.")
def list_command() -> None:
    """List all keys: their permissions, factories, validity and last use."""
    with _open_keys() as keys:
        rows = keys.list()
    for line in format_keys(rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        show(f"{line}\n")


@api_key_command.command("revoke")
@click.argument("identifier", metavar="ID", type=click.UUID)
def revoke_command(identifier: uuid.UUID) -> None:
    """Revoke the key ID. Every server refuses it within a few seconds."""
    with _open_keys() as keys:
        is_known = keys.revoke(identifier)
    if not is_known:
        raise click.ClickException(f"there is no key {identifier}; `sprocket-grpc api-key list` shows all")
    click.echo(f"revoked the key {identifier}")


def _check_permissions(names: tuple[str, ...]) -> None:
    with server_libraries(_NEEDED):
        from sprocket_grpc.cli.api_key.database import KNOWN_PERMISSIONS  # noqa: PLC0415  # as below
    if unknown := [name for name in names if name not in KNOWN_PERMISSIONS]:
        raise click.UsageError(f"--permission {unknown[0]}: expected one of {', '.join(KNOWN_PERMISSIONS)}")


def _open_keys() -> AbstractContextManager["Keys"]:
    with server_libraries(_NEEDED):
        from sprocket_grpc.cli.api_key.database import open_keys  # noqa: PLC0415  # a client lacks its libraries
    return open_keys()
