"""`sprocket-grpc create`, `update` and `delete`."""

import json
import sys
from collections.abc import Mapping
from typing import IO, Any

import click
from google.protobuf.message import Message

from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import printable, show
from sprocket_grpc.cli.resources.calls import connected_caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.names import identify, identify_all
from sprocket_grpc.cli.resources.options import (
    ResourceGroup,
    field_options,
    force_option,
    given,
    output_option,
    request_id_option,
    validate_only_option,
)
from sprocket_grpc.cli.resources.printing import print_one
from sprocket_grpc.cli.resources.values import fill

TIMEOUT_SECONDS = 10

_FILE = click.option(
    "--file", "-f", type=click.File("rb"), help="Read fields from a JSON object in this file; - means standard input."
)


def _make_create(resource: Resource) -> click.Command:
    @click.command(resource.name, help=f"Create a {resource.title}. Options override the fields in --file.")
    @field_options(resource)
    @_FILE
    @request_id_option
    @validate_only_option
    @output_option()
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(
        *,
        file: IO[bytes] | None,
        request_id: str,
        validate_only: bool,
        output: str,
        timeout: float,
        connection: Connection,
        **options: Any,  # noqa: ANN401  # values of fields
    ) -> None:
        values = _from_file(file) | given(options)
        method = resource.methods["Create"]
        request = method.request(request_id=request_id, validate_only=validate_only)
        _fill(getattr(request, resource.field), values)
        with connected_caller(connection, timeout) as caller:
            response = caller.call(method, request)
            print_one(resource, response, output, None)

    return command


def _make_update(resource: Resource) -> click.Command:
    @click.command(
        resource.name,
        short_help=f"Update fields of a {resource.title}.",
        help=f"Update only the fields of a {resource.title} that are given as options or in --file. An empty option "
        "clears its field. If --file contains an etag, as the output of `get` does, it must be the current one.\n\n"
        f"{resource.placeholder} is an id, or the display name of exactly one {resource.title}.",
    )
    @click.argument("name", metavar=resource.placeholder)
    @field_options(resource)
    @_FILE
    @click.option("--etag", help=f"Fail unless the {resource.title} still has this etag.")
    @click.option(
        "--allow-missing", is_flag=True, help=f"Create the {resource.title} if no {resource.title} has this id."
    )
    @request_id_option
    @validate_only_option
    @output_option()
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(  # one argument per option
        *,
        name: str,
        file: IO[bytes] | None,
        etag: str | None,
        allow_missing: bool,
        request_id: str,
        validate_only: bool,
        output: str,
        timeout: float,
        connection: Connection,
        **options: Any,  # noqa: ANN401  # values of fields
    ) -> None:
        values = _from_file(file) | given(options) | ({} if etag is None else {"etag": etag})
        method = resource.methods["Update"]
        request = method.request(allow_missing=allow_missing, request_id=request_id, validate_only=validate_only)
        request.update_mask.paths.extend(_mask(resource, values))
        message = getattr(request, resource.field)
        _fill(message, values)
        with connected_caller(connection, timeout) as caller:
            identifier = identify(caller.call, resource, name)
            if message.id not in ("", identifier):
                raise click.UsageError(f"--file: expected the id {identifier}, not {message.id}")
            message.id = identifier
            print_one(resource, caller.call(method, request), output, None)

    return command


def _make_delete(resource: Resource) -> click.Command:
    text = f"Delete {resource.titles} by id or display name"

    @click.command(resource.name, help=f"{text}, one after the other.", short_help=f"{text}.")
    @click.argument("names", nargs=-1, required=True, metavar=f"{resource.placeholder}...")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
    @force_option(resource)
    @click.option("--allow-missing", is_flag=True, help=f"Succeed even if no {resource.title} has this id.")
    @click.option("--etag", default="", help=f"Fail unless the {resource.title} still has this etag.")
    @request_id_option
    @validate_only_option
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(  # one argument per option
        *,
        names: tuple[str, ...],
        yes: bool,
        etag: str,
        request_id: str,
        timeout: float,
        connection: Connection,
        **flags: bool,
    ) -> None:
        if len(names) > 1 and (etag or request_id):
            raise click.UsageError(f"--etag and --request-id apply to a single {resource.placeholder}")
        _confirm(resource, names, force=flags.get("force", False), yes=yes or flags["validate_only"])
        method = resource.methods["Delete"]
        with connected_caller(connection, timeout) as caller:
            for each in identify_all(caller.call, resource, names):
                caller.call(method, method.request(id=each, etag=etag, request_id=request_id, **flags))
                show(f"{'would delete' if flags['validate_only'] else 'deleted'} {resource.title} {each}\n")

    return command


create_command = ResourceGroup("create", "Create", _make_create, "Create a resource from options or JSON.")
update_command = ResourceGroup("update", "Update", _make_update, "Update some fields of a resource.")
delete_command = ResourceGroup("delete", "Delete", _make_delete, "Delete resources by id or display name.")


def _from_file(file: IO[bytes] | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        values = json.load(file)
    except OSError as error:
        raise ClientError(f"cannot read {file.name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ClientError(f"{file.name}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ClientError(f"{file.name}: expected a JSON object with fields")
    return values


def _fill(message: Message, values: dict[str, Any]) -> None:
    if problems := fill(message, values):
        raise ClientError("; ".join(map(str, problems)))
    message.SetInParent()


def _mask(resource: Resource, values: Mapping[str, Any]) -> list[str]:
    """Return the paths of the writable fields in `values`. Others are ignored, because the output of `get` has them."""
    names = {each.json_name: each.name for each in resource.writable} | {
        each.name: each.name for each in resource.writable
    }
    paths = [names[name] for name in values if name in names]
    if not paths:
        raise click.UsageError("nothing to update: pass fields as options or in --file")
    return paths


def _confirm(resource: Resource, names: tuple[str, ...], *, force: bool, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("not a terminal: pass --yes to confirm")
    what = f"{resource.title} {names[0]}" if len(names) == 1 else f"{len(names)} {resource.titles}"
    click.confirm(f"Delete {printable(what)}{' and all resources that refer to it' if force else ''}?", abort=True)
