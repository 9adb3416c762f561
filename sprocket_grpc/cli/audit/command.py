"""`sprocket-grpc audit`: who changed what, read through the service or from the database."""

import os
import sys
from collections.abc import Generator
from contextlib import closing
from uuid import UUID

import click
from click.core import ParameterSource

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.cli.audit import service
from sprocket_grpc.cli.audit.output import as_json, as_text
from sprocket_grpc.cli.audit.selection import Selection
from sprocket_grpc.cli.client.connection import Connection, connection_options_with_default
from sprocket_grpc.cli.client.output import checked_stdout, show, warn, write_data
from sprocket_grpc.cli.libraries import server_libraries
from sprocket_grpc.cli.resources.calls import timeout_option
from sprocket_grpc.cli.since import Since, SinceType
from sprocket_grpc.cli.times import now_micros
from sprocket_grpc.config.environment import PREFIX

TIMEOUT_SECONDS = 10

_DATABASE_URLS = (f"{PREFIX}DATABASE_URL", f"{PREFIX}DATABASE_URL_FILE")
_NEEDED = (
    "SPROCKET_DATABASE_URL is set, so `sprocket-grpc audit` reads the database, which needs the server's libraries "
    "(pip install 'sprocket-grpc[server]'); --server ADDRESS reads through a server instead"
)
_OPTIONS_OF_CALLS = ("tls_ca", "tls_certificate", "tls_key", "api_key_file", "insecure", "timeout")


@click.command("audit")
@click.option("--resource", type=click.UUID, help="Only writes of the resource with this id.")
@click.option("--principal", help="Only writes by this caller.")
@click.option("--since", type=SinceType(), help="Only entries since then: 90s, 30m, 12h, 7d, 4w, or a time (RFC 3339).")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most this many entries.")
@click.option("--json", "as_lines", is_flag=True, help="Print each AuditEntry as JSON on a line of its own.")
@timeout_option(TIMEOUT_SECONDS)
@connection_options_with_default(
    "the database of SPROCKET_DATABASE_URL is read; if that is not set, SPROCKET_LISTEN, or else 127.0.0.1:50051"
)
def audit_command(
    *,
    resource: UUID | None,
    principal: str | None,
    since: Since | None,
    limit: int,
    as_lines: bool,
    timeout: float,
    connection: Connection,
) -> None:
    """Show who changed which resource, when and how, the newest first.

    Like the other client commands, it calls a server, whose AuditService requires the permission
    sprocket.audit_entries.read if the server authenticates callers. Where SPROCKET_DATABASE_URL is set and no server is
    named, it reads that database instead, and says so on a terminal.
    """
    reads_database = not connection.server and any(map(os.environ.get, _DATABASE_URLS))
    if reads_database:
        _check_options()
    selection = Selection(resource, principal, since.start(now_micros()) if since else None, limit)
    entries = _from_database(selection) if reads_database else service.read_entries(connection, timeout, selection)
    with closing(entries):
        for entry in entries:
            _print(entry, as_lines=as_lines)
    if reads_database and sys.stdout.isatty():
        warn("read from the database of SPROCKET_DATABASE_URL; --server ADDRESS reads through a server instead")


def _print(entry: AuditEntry, *, as_lines: bool) -> None:
    with checked_stdout():
        if as_lines:
            write_data([f"{as_json(entry)}\n"])
        else:
            show(f"{as_text(entry)}\n")


def _check_options() -> None:
    """Refuse options of a call, which a database would ignore. Variables are allowed: client commands share them."""
    context = click.get_current_context()
    given = [each for each in _OPTIONS_OF_CALLS if _is_given(context, each)]
    if given:
        name = given[0].replace("_", "-")
        raise click.UsageError(
            f"--{name} needs --server ADDRESS: SPROCKET_DATABASE_URL is set, so `audit` would read the database"
        )


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _from_database(selection: Selection) -> Generator[AuditEntry, None, None]:
    with server_libraries(_NEEDED):
        from sprocket_grpc.cli.audit import database  # noqa: PLC0415  # a client lacks its libraries
    return database.read_entries(selection)
