"""`sprocket-grpc get` and `list`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.output import warn
from sprocket_grpc.cli.resources.calls import Caller, connected_caller, in_batches, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.layout import Columns
from sprocket_grpc.cli.resources.names import identify, identify_all
from sprocket_grpc.cli.resources.options import (
    DescribedCommand,
    ResourceGroup,
    columns_option,
    output_option,
)
from sprocket_grpc.cli.resources.printing import columns_in_tables, print_all, print_one
from sprocket_grpc.cli.resources.tables import Pages

TIMEOUT_SECONDS = 10
LISTED = 50

_HIGHEST_INT32 = (1 << 31) - 1


def _make_get(resource: Resource) -> click.Command:
    text = f"Get {resource.titles} by id or display name"

    @click.command(
        resource.name,
        cls=DescribedCommand,
        resource=resource,
        help=f"{text}, in the order given.",
        short_help=f"{text}.",
    )
    @click.argument("names", nargs=-1, required=True, metavar=f"{resource.placeholder}...")
    @output_option()
    @columns_option(resource, "all")
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(
        names: tuple[str, ...], *, output: str, columns: Columns | None, timeout: float, connection: Connection
    ) -> None:
        with connected_caller(connection, timeout) as caller:
            if len(names) == 1:
                method, identifier = resource.methods["Get"], identify(caller.call, resource, names[0])
                print_one(resource, caller.call(method, method.request(id=identifier)), output, columns)
            else:
                ids = identify_all(caller.call, resource, names)
                print_all(resource, _batch_get(caller, resource, ids), output, columns)

    return command


def _make_list(resource: Resource) -> click.Command:
    text = f"List {resource.titles}, by default ordered by id."

    @click.command(resource.names, cls=DescribedCommand, resource=resource, help=text)
    @click.option("--filter", default="", help="A filter expression (AIP-160), such as 'display_name = \"A*\"'.")
    @click.option("--order-by", default="", help="The order (AIP-132), such as 'display_name, create_time desc'.")
    @click.option("--limit", type=click.IntRange(0), default=LISTED, show_default=True, help="List at most this many.")
    @click.option("--all", "lists_all", is_flag=True, help="List all; --limit is ignored.")
    @click.option("--page-size", type=click.IntRange(1, _HIGHEST_INT32), help="The number of resources per request.")
    @output_option()
    @columns_option(resource, f"all; {columns_in_tables(resource)}")
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
        with connected_caller(connection, timeout) as caller:
            pages = caller.pages(
                resource, None if lists_all else limit, filter=filter, order_by=order_by, page_size=page_size or 0
            )
            print_all(resource, _items(pages, resource), output, columns)

    return command


get_command = ResourceGroup("get", "Get", _make_get, "Get resources by id or display name.")
list_command = ResourceGroup("list", "List", _make_list, "List resources, optionally filtered and ordered.")


def _batch_get(caller: Caller, resource: Resource, ids: list[str]) -> Pages:
    method = resource.methods["BatchGet"]
    for batch in in_batches(ids):
        yield getattr(caller.call(method, method.request(ids=batch)), resource.items)


def _items(responses: Iterator[Any], resource: Resource) -> Pages:
    """Yield the resources of every page, and say after the command's output if the server has more."""
    more = ""
    for response in responses:
        yield getattr(response, resource.items)
        more = response.next_page_token
    if more:
        text = f"there are more {resource.titles}: pass --limit or --all to list them"
        click.get_current_context().call_on_close(partial(warn, text))
