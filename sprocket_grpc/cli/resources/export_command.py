"""`sprocket-grpc export`: writes resources to a file."""

import sys
from pathlib import Path

import click

from sprocket_grpc.cli.client.connection import Connection, connected, connection_options
from sprocket_grpc.cli.client.output import checked_stdout, replacing
from sprocket_grpc.cli.resources import tables
from sprocket_grpc.cli.resources.calls import MOST_IN_BATCH, Caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.options import ResourceGroup, columns_option
from sprocket_grpc.cli.resources.reading import SUFFIXES
from sprocket_grpc.cli.resources.tables import Columns, Pages

TIMEOUT_SECONDS = 60

_WRITERS: dict[str, tables.Writer] = {
    ".csv": tables.csv_lines,
    ".json": tables.json_array,
    ".jsonl": tables.json_lines,
}


def _make_export(resource: Resource) -> click.Command:
    @click.command(
        resource.names, help=f"Export {resource.titles} to FILE.csv, FILE.json or FILE.jsonl, ordered by id."
    )
    @click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--filter", default="", help="A filter expression (AIP-160). Default: all.")
    @columns_option(resource, "the id and the writable fields, which `import` reads")
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(
        *,
        path: Path,
        filter: str,  # noqa: A002  # the contract's name
        columns: Columns | None,
        timeout: float,
        connection: Connection,
    ) -> None:
        write = _WRITERS.get(path.suffix.lower())
        if write is None:
            raise click.UsageError(f"FILE: expected a name that ends with one of {', '.join(SUFFIXES)}")
        with connected(connection) as server, checked_stdout(), replacing(path) as temporary:
            pages = _pages(Caller(server, timeout), resource, path, filter)
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.writelines(write(pages, columns or resource.transferred))
        click.echo(f"wrote {path}")

    return command


export_command = ResourceGroup("export", "List", _make_export, "Export resources to a CSV or JSON file.")


def _pages(caller: Caller, resource: Resource, path: Path, expression: str) -> Pages:
    # Once, because with show_total_size the server counts all resources for every page.
    [counted] = caller.pages(resource, 1, filter=expression, page_size=1, show_total_size=True)
    label = f"exporting {path}"
    with click.progressbar(length=counted.total_size, label=label, file=sys.stderr, show_pos=True) as bar:
        for response in caller.pages(resource, None, filter=expression, page_size=MOST_IN_BATCH):
            page = getattr(response, resource.items)
            yield page
            bar.update(len(page))
