"""The options that several commands share, and an option for every field of a resource."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from google.protobuf.descriptor import FieldDescriptor

from sprocket_grpc.cli.resources.catalogue import Resource, catalogue, find
from sprocket_grpc.cli.resources.layout import Columns
from sprocket_grpc.cli.resources.values import columns_of, expected, from_text
from sprocket_grpc.cli.suggestions import did_you_mean

_F = TypeVar("_F", bound=Callable[..., object])

_FIELD = "field_"
"""The prefix of the parameters for fields, which keeps them apart from other parameters."""


class ResourceGroup(click.Group):
    """A command with a subcommand for every resource that has the method of a verb."""

    def __init__(self, name: str, verb: str, make: Callable[[Resource], click.Command], help: str) -> None:  # noqa: A002  # click's name
        super().__init__(name, help=help, subcommand_metavar="RESOURCE ...", no_args_is_help=True)
        self._verb = verb
        self._make = make

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        """Return the names of the resources."""
        resources = [each for each in catalogue().values() if self._verb in each.methods]
        return sorted(each.names if self._verb == "List" else each.name for each in resources)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click passes it
        """Return the subcommand of a resource, whose name may be in singular or plural."""
        resource = find(cmd_name, self._verb)
        return self._make(resource) if resource else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a resource; an unknown name is a usage error that lists the known ones."""
        is_option = not args or args[0].startswith("-")
        if not is_option and not ctx.resilient_parsing and not find(args[0], self._verb):  # else a shell completes it
            names = self.list_commands(ctx)
            suggestion = did_you_mean(args[0], names)
            raise click.UsageError(f"unknown resource {args[0]!r}: {suggestion}expected {_either(names)}", ctx)
        return super().resolve_command(ctx, args)


class DescribedCommand(click.Command):
    """A command whose help describes all fields of a resource, for filters, orders and columns."""

    def __init__(self, *arguments: Any, resource: Resource, **others: Any) -> None:  # noqa: ANN401  # click's own
        super().__init__(*arguments, **others)
        self._resource = resource

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The names of the fields, and their comments in the contract."""
        return [(each.name, self._resource.description(each.name)) for each in self._resource.descriptor.fields]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and then the fields."""
        super().format_options(ctx, formatter)
        with formatter.section("Fields"):
            formatter.write_dl(self.fields)


class _FieldType(click.ParamType[object]):
    """Parses the value of a field."""

    def __init__(self, resource: Resource, field: FieldDescriptor) -> None:
        self.name = {"text": "text", "a number": "number"}.get(expected(field), expected(field).split()[-1])
        if "whole number" in expected(field):
            self.name = "integer"
        self._resource = resource
        self._field = field

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> object:
        try:
            return from_text(self._resource, self._field, value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002  # click passes them
        values = self._field.enum_type.values_by_name if self._field.enum_type else ()
        return [CompletionItem(each) for each in values if each.startswith(incomplete)]


class ColumnsType(click.ParamType[Columns]):
    """Parses names of fields, separated by commas."""

    name = "names"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Columns:
        """Parse a value, or fail with what is expected."""
        try:
            return columns_of(self._resource, [each.strip() for each in value.split(",")])
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002  # click passes them
        """Complete the last name."""
        before, comma, begun = incomplete.rpartition(",")
        names = [each for each in self._resource.descriptor.fields_by_name if each.startswith(begun)]
        return [CompletionItem(before + comma + each) for each in names]


def field_options(resource: Resource) -> Callable[[_F], _F]:
    """Return a decorator that adds an option for every writable field; `given` returns their values."""

    def add(command: _F) -> _F:
        for field in reversed(resource.writable):
            name = field.name.replace("_", "-")
            text, kind = resource.description(field.name), _FieldType(resource, field)
            command = click.option(f"--{name}", f"{_FIELD}{field.name}", type=kind, help=text)(command)
        return command

    return add


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields that were given as options, by name, as in JSON."""
    found = {name.removeprefix(_FIELD): value for name, value in options.items() if name.startswith(_FIELD)}
    return {name: value for name, value in found.items() if value is not None}


def columns_option(resource: Resource, default: str) -> Callable[[_F], _F]:
    """Return the option that selects the fields to print."""
    text = f"The fields to print, in this order, separated by commas. Default: {default}."
    return click.option("--columns", type=ColumnsType(resource), help=text)


def output_option(default: str = "table") -> Callable[[_F], _F]:
    """Return the option that selects the output format."""
    kinds = click.Choice(["table", "json", "csv"])
    text = (
        "The output format: a table for people; JSON or CSV for programs."
        " A table with a row per resource has times in UTC to the minute."
    )
    return click.option("--output", "-o", type=kinds, default=default, show_default=True, help=text)


def request_id_option(command: _F) -> _F:
    """Add the option that sets the request_id."""
    text = "A UUID that identifies this write, so that it can be retried safely. Default: a new UUID."
    return click.option("--request-id", default="", metavar="UUID", help=text)(command)


def validate_only_option(command: _F) -> _F:
    """Add the option for a dry run."""
    return click.option("--validate-only", is_flag=True, help="Dry run: validate the request and change nothing.")(
        command
    )


def force_option(resource: Resource) -> Callable[[_F], _F]:
    """Return the option that also deletes referring resources, if the resource can be referred to."""
    if "force" not in resource.methods["Delete"].request.DESCRIPTOR.fields_by_name:
        return lambda command: command
    return click.option("--force", is_flag=True, help="Also delete the resources that refer to it.")


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
