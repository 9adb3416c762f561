"""`sprocket-grpc export`: writes resources to a file."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click

from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.output import printable, replacing, show, write_data
from sprocket_grpc.cli.resources import tables
from sprocket_grpc.cli.resources.calls import MOST_IN_BATCH, Caller, connected_caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.files import DASH, check_delimiter, delimiter_option, format_of, format_option
from sprocket_grpc.cli.resources.layout import Columns
from sprocket_grpc.cli.resources.options import DescribedCommand, ResourceGroup, columns_option
from sprocket_grpc.cli.resources.tables import Pages

TIMEOUT_SECONDS = 60

_WRITERS: dict[str, tables.Writer] = {
    "csv": tables.csv_lines,
    "json": tables.json_array,
    "jsonl": tables.json_lines,
}


def _make_export(resource: Resource) -> click.Command:
    @click.command(
        resource.names,
        cls=DescribedCommand,
        resource=resource,
        short_help=f"Export {resource.titles} to a file.",
        help=f"Export {resource.titles} to FILE.csv, FILE.json or FILE.jsonl, ordered by id; - means standard output.",
    )
    @click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
    @format_option
    @delimiter_option("a comma")
    @click.option("--filter", default="", help="A filter expression (AIP-160). Default: all.")
    @columns_option(resource, "the id and the writable fields, which `import` reads")
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(
        *,
        file: str,
        format_: str | None,
        delimiter: str | None,
        filter: str,  # noqa: A002  # the contract's name
        columns: Columns | None,
        timeout: float,
        connection: Connection,
    ) -> None:
        kind = format_of(file, format_)
        check_delimiter(kind, delimiter)
        write = partial(tables.csv_lines, delimiter=delimiter) if delimiter else _WRITERS[kind]
        sizes: list[int] = []
        with connected_caller(connection, timeout) as caller:
            pages = _pages(caller, resource, file, filter, sizes)
            texts = write(pages, columns or resource.transferred)
            if file == DASH:
                write_data(texts)
            else:
                _write(Path(file), texts)
                show(f"wrote {sum(sizes)} {resource.title if sum(sizes) == 1 else resource.titles} to {file}\n")

    return command


export_command = ResourceGroup("export", "List", _make_export, "Export resources to a CSV or JSON file.")


def _write(path: Path, texts: Iterable[str]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(texts)


def _pages(caller: Caller, resource: Resource, file: str, expression: str, sizes: list[int]) -> Pages:
    """Yield all resources page by page, and append the size of each page to `sizes`."""
    # Once, because with show_total_size the server counts all resources for every page.
    [counted] = caller.pages(resource, 1, filter=expression, page_size=1, show_total_size=True)
    label = printable(f"exporting {file}")
    is_mixed = file == DASH and sys.stdout.isatty()
    with click.progressbar(
        length=counted.total_size, label=label, file=sys.stderr, show_pos=True, hidden=is_mixed
    ) as bar:
        for response in caller.pages(resource, None, filter=expression, page_size=MOST_IN_BATCH):
            page = getattr(response, resource.items)
            sizes.append(len(page))
            yield page
            bar.update(len(page))
