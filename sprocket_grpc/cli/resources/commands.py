"""`sprocket-grpc get`, `list`, `create`, `update` and `delete`."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import click
from google.protobuf.message import Message

from sprocket_grpc.cli.client.connection import Connection, connected, connection_options
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import checked_stdout, printable, show, warn, write_data
from sprocket_grpc.cli.resources import tables
from sprocket_grpc.cli.resources.calls import Caller, in_batches, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.options import (
    ResourceGroup,
    columns_option,
    field_options,
    force_option,
    given,
    output_option,
    request_id_option,
    validate_only_option,
)
from sprocket_grpc.cli.resources.tables import Columns, Pages
from sprocket_grpc.cli.resources.values import fill

TIMEOUT_SECONDS = 10
LISTED = 50

_HIGHEST_INT32 = (1 << 31) - 1

_NOT_IN_TABLES = {"etag", "create_time", "update_time"}
_FILE = click.option(
    "--file", "-f", type=click.File("rb"), help="Read fields from a JSON object in this file; - means standard input."
)


def _make_get(resource: Resource) -> click.Command:
    @click.command(resource.name, help=f"Get {resource.titles} by id, in the order of the ids.")
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
    @output_option()
    @columns_option(resource, "all")
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(
        ids: tuple[str, ...], *, output: str, columns: Columns | None, timeout: float, connection: Connection
    ) -> None:
        with _caller(connection, timeout) as caller:
            if len(ids) == 1:
                method = resource.methods["Get"]
                _print_one(resource, caller.call(method, method.request(id=ids[0])), output, columns)
            else:
                _print(_batch_get(caller, resource, ids), output, columns or _columns(resource, output))

    return command


def _make_list(resource: Resource) -> click.Command:
    @click.command(resource.names, help=f"List {resource.titles}, by default ordered by id.")
    @click.option("--filter", default="", help="A filter expression (AIP-160), such as 'display_name = \"A*\"'.")
    @click.option("--order-by", default="", help="The order (AIP-132), such as 'display_name, create_time desc'.")
    @click.option("--limit", type=click.IntRange(0), default=LISTED, show_default=True, help="List at most this many.")
    @click.option("--all", "lists_all", is_flag=True, help="List all; --limit is ignored.")
    @click.option("--page-size", type=click.IntRange(1, _HIGHEST_INT32), help="The number of resources per request.")
    @output_option()
    @columns_option(resource, f"all; tables leave out {', '.join(sorted(_NOT_IN_TABLES))}")
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(  # one argument per option
        *,
        filter: str,  # noqa: A002  # the contract's name
        order_by: str,
        limit: int,
        lists_all: bool,
        page_size: int | None,
        output: str,
        columns: Columns | None,
        timeout: float,
        connection: Connection,
    ) -> None:
        with _caller(connection, timeout) as caller:
            pages = caller.pages(
                resource, None if lists_all else limit, filter=filter, order_by=order_by, page_size=page_size or 0
            )
            _print(_items(pages, resource), output, columns or _columns(resource, output))

    return command


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
        with _caller(connection, timeout) as caller:
            response = caller.call(method, request)
            _print_one(resource, response, output, None)

    return command


def _make_update(resource: Resource) -> click.Command:
    @click.command(
        resource.name,
        help=f"Update only the fields of a {resource.title} that are given as options or in --file. An empty option "
        "clears its field. If --file contains an etag, as the output of `get` does, it must be the current one.",
    )
    @click.argument("id")
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
        id: str,  # noqa: A002  # the contract's name
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
        values = _from_file(file) | given(options)
        if values.get("id", id) != id:
            raise click.UsageError(f"--file: expected the id {id}, not {values['id']}")
        values |= {"id": id} | ({} if etag is None else {"etag": etag})
        method = resource.methods["Update"]
        request = method.request(allow_missing=allow_missing, request_id=request_id, validate_only=validate_only)
        request.update_mask.paths.extend(_mask(resource, values))
        _fill(getattr(request, resource.field), values)
        with _caller(connection, timeout) as caller:
            _print_one(resource, caller.call(method, request), output, None)

    return command


def _make_delete(resource: Resource) -> click.Command:
    @click.command(resource.name, help=f"Delete {resource.titles} by id, one after the other.")
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
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
        ids: tuple[str, ...],
        yes: bool,
        etag: str,
        request_id: str,
        timeout: float,
        connection: Connection,
        **flags: bool,
    ) -> None:
        if len(ids) > 1 and (etag or request_id):
            raise click.UsageError("--etag and --request-id apply to a single ID")
        _confirm(resource, ids, force=flags.get("force", False), yes=yes or flags["validate_only"])
        method = resource.methods["Delete"]
        with _caller(connection, timeout) as caller:
            for each in ids:
                caller.call(method, method.request(id=each, etag=etag, request_id=request_id, **flags))
                show(f"{'would delete' if flags['validate_only'] else 'deleted'} {resource.title} {each}\n")

    return command


get_command = ResourceGroup("get", "Get", _make_get, "Get resources by id.")
list_command = ResourceGroup("list", "List", _make_list, "List resources, optionally filtered and ordered.")
create_command = ResourceGroup("create", "Create", _make_create, "Create a resource from options or JSON.")
update_command = ResourceGroup("update", "Update", _make_update, "Update some fields of a resource.")
delete_command = ResourceGroup("delete", "Delete", _make_delete, "Delete resources by id.")


@contextmanager
def _caller(connection: Connection, timeout: float) -> Iterator[Caller]:
    with connected(connection) as server, checked_stdout():
        yield Caller(server, timeout)


def _batch_get(caller: Caller, resource: Resource, ids: tuple[str, ...]) -> Pages:
    method = resource.methods["BatchGet"]
    for batch in in_batches(ids):
        yield getattr(caller.call(method, method.request(ids=batch)), resource.items)


def _items(responses: Iterator[Any], resource: Resource) -> Pages:
    """Yield the resources of every page, and say at the end if the server has more."""
    more = ""
    for response in responses:
        yield getattr(response, resource.items)
        more = response.next_page_token
    if more:
        warn(f"there are more {resource.titles}: pass --limit or --all to list them")


def _columns(resource: Resource, output: str) -> Columns:
    left_out = _NOT_IN_TABLES if output == "table" else ()
    return [each for each in resource.descriptor.fields if each.name not in left_out]


def _print(pages: Pages, output: str, columns: Columns) -> None:
    if output == "table":
        for line in tables.table(pages, columns):
            show(line)
    else:
        write_data((tables.csv_lines if output == "csv" else tables.json_array)(pages, columns))


def _print_one(resource: Resource, response: Any, output: str, columns: Columns | None) -> None:  # noqa: ANN401  # of any method
    message = getattr(response, resource.field)
    columns = columns or resource.descriptor.fields
    if output == "json":
        write_data([tables.json_object(message, columns)])
    elif output == "table":
        show("".join(tables.record(message, columns)))
    else:
        _print([[message]], output, columns)


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


def _confirm(resource: Resource, ids: tuple[str, ...], *, force: bool, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("not a terminal: pass --yes to confirm")
    what = f"{resource.title} {ids[0]}" if len(ids) == 1 else f"{len(ids)} {resource.titles}"
    click.confirm(f"Delete {printable(what)}{' and all resources that refer to it' if force else ''}?", abort=True)
