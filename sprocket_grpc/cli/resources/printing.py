"""Prints resources in the chosen format: tables for people, JSON and CSV for programs."""

from typing import Any

from sprocket_grpc.cli.client.output import show, write_data
from sprocket_grpc.cli.resources import tables
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.layout import Columns
from sprocket_grpc.cli.resources.tables import Pages

_NOT_IN_TABLES = ("create_time", "etag", "update_time")

# When, who, what: an entry has no display name, and its states are objects.
_IN_TABLES = {"audit_entry": ("create_time", "principal", "method", "resource_type", "resource_id")}


def print_all(resource: Resource, pages: Pages, output: str, columns: Columns | None) -> None:
    """Print resources.

    Args:
        resource: Their kind.
        pages: The resources.
        output: The format: table, csv or json.
        columns: The fields to print. None means the default of the format; a narrow terminal gets fewer of them.
    """
    if output == "table":
        for line in tables.table(pages, columns or _in_table(resource), may_leave_out=columns is None):
            show(line)
        return
    write = tables.csv_lines if output == "csv" else tables.json_array
    write_data(write(pages, columns or resource.descriptor.fields))


def print_one(resource: Resource, response: Any, output: str, columns: Columns | None) -> None:  # noqa: ANN401  # of any method
    """Print the resource of a response: as a table of its fields, or as `print_all` does."""
    message = getattr(response, resource.field)
    columns = columns or resource.descriptor.fields
    if output == "json":
        write_data([tables.json_object(message, columns)])
    elif output == "table":
        show("".join(tables.record(message, columns)))
    else:
        print_all(resource, [[message]], output, columns)


def columns_in_tables(resource: Resource) -> str:
    """Say for the help which fields tables have by default."""
    chosen = _IN_TABLES.get(resource.field)
    return f"tables have {', '.join(chosen)}" if chosen else f"tables leave out {', '.join(_NOT_IN_TABLES)}"


def _in_table(resource: Resource) -> Columns:
    fields = resource.descriptor.fields
    if chosen := _IN_TABLES.get(resource.field):
        return [each for name in chosen for each in fields if each.name == name]
    return [each for each in fields if each.name not in _NOT_IN_TABLES]
