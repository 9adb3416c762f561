"""`sprocket-grpc api-key`: who may call with an API key."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from sprocket_grpc.auth.api_key import make_key
from sprocket_grpc.cli.setup import load_settings_and_log, open_database
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.api_key import ValidKey
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_version import find_problem

_HOURS = {"h": 1, "d": 24}

_LONGEST_NAME = 63


class _Expiry(click.ParamType[int]):
    """Reads 12h or 90d as hours."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([1-9]\d{0,4})([hd])", str(value))
        if not match:
            self.fail("expected a number of hours or days, such as 12h or 90d", param, ctx)
        return int(match[1]) * _HOURS[match[2]]


@click.group("api-key")
def api_key_command() -> None:
    """Make, list and revoke the keys with which programs may call (SPROCKET_API_KEYS=true)."""


@api_key_command.command("create")
@click.argument("name")
@click.option(
    "--right",
    "rights",
    type=click.Choice(["read", "write", "admin"]),
    multiple=True,
    required=True,
    help="What it is for; admin includes write, and write includes read.",
)
@click.option("--expires", "hours", type=_Expiry(), help="When it ends, such as 12h or 90d. Default: when revoked.")
def create_command(name: str, rights: tuple[str, ...], hours: int | None) -> None:
    """Make a key for NAME, such as the program that is to use it, and show it this once.

    Several may have one name, so that a key can be replaced by another before it is revoked.
    """
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise click.UsageError(f"NAME: expected 1 to {_LONGEST_NAME} characters that can be printed")
    made = make_key()
    with _connected() as connection:
        api_key.create(connection, made.id, ValidKey(name, sorted(set(rights)), made.secret_hash), hours)
    click.echo(f"made the key {made.id}; it is shown this once:", err=True)
    click.echo(made.text)


@api_key_command.command("list")
def list_command() -> None:
    """List all keys, with what they are for and when they were last used."""
    with _connected() as connection:
        keys = api_key.list_all(connection)
    for key in keys:
        click.echo(
            f"{key.id}  {_state(key):<30}  {','.join(key.rights):<16}  last used {_time(key.last_use_time)}  {key.name}"
        )


@api_key_command.command("revoke")
@click.argument("identifier", metavar="ID", type=click.UUID)
def revoke_command(identifier: uuid.UUID) -> None:
    """Let the key ID hold no more. Every server refuses it within a few seconds."""
    with _connected() as connection:
        is_known = api_key.revoke(connection, str(identifier))
    if not is_known:
        raise click.ClickException(f"there is no key {identifier}; `sprocket-grpc api-key list` shows all")
    click.echo(f"revoked the key {identifier}")


@contextmanager
def _connected() -> Iterator[Connection]:
    with (
        open_database(load_settings_and_log(), say_to_errors=True) as url,
        create_plain_engine(url).begin() as connection,
    ):
        if problem := find_problem(connection):
            raise click.ClickException(problem)
        yield connection


def _state(key: Any) -> str:  # noqa: ANN401  # a row
    if key.revoke_time is not None:
        return f"revoked {_time(key.revoke_time)}"
    if not key.holds:
        return f"expired {_time(key.expire_time)}"
    return f"until {_time(key.expire_time)}" if key.expire_time is not None else "until revoked"


def _time(micros: int | None) -> str:
    return "never" if micros is None else f"{datetime.fromtimestamp(micros / 1e6, UTC):%Y-%m-%dT%H:%MZ}"
