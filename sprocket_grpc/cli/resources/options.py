"""The options that the commands share, and the fields of a resource as options."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from google.protobuf.descriptor import FieldDescriptor

from sprocket_grpc.cli.resources.catalogue import Resource, catalogue, find
from sprocket_grpc.cli.resources.tables import Columns
from sprocket_grpc.cli.resources.values import columns_of, expected, from_text

_F = TypeVar("_F", bound=Callable[..., object])

_FIELD = "field_"
"""What the parameters of fields begin with, so that they are none of the others."""


class ResourceGroup(click.Group):
    """A command with a subcommand for each resource that has a method."""

    def __init__(self, name: str, verb: str, make: Callable[[Resource], click.Command], help: str) -> None:  # noqa: A002  # click's name
        super().__init__(name, help=help, subcommand_metavar="RESOURCE ...", no_args_is_help=True)
        self._verb = verb
        self._make = make

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        """Name the resources."""
        resources = [each for each in catalogue().values() if self._verb in each.methods]
        return sorted(each.names if self._verb == "List" else each.name for each in resources)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click passes it
        """Make the subcommand of a resource, which may be named in singular or plural."""
        resource = find(cmd_name, self._verb)
        return self._make(resource) if resource else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which resources there are, if there is none of that name."""
        if args and not args[0].startswith("-") and not find(args[0], self._verb):
            raise click.UsageError(
                f"there is no resource {args[0]!r} here; say {_either(self.list_commands(ctx))}", ctx
            )
        return super().resolve_command(ctx, args)


class _FieldType(click.ParamType[object]):
    """Reads the value of a field."""

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
    """Reads names of fields with commas between."""

    name = "names"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Columns:
        """Read a value, or say what is expected."""
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
    """Make an option of each field that a caller can write; `given` returns what they say."""

    def add(command: _F) -> _F:
        for field in reversed(resource.writable):
            name = field.name.replace("_", "-")
            text = " ".join(resource.comments.get(field.name, "").split())
            command = click.option(f"--{name}", f"{_FIELD}{field.name}", type=_FieldType(resource, field), help=text)(
                command
            )
        return command

    return add


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given as options, by their names, as in JSON."""
    found = {name.removeprefix(_FIELD): value for name, value in options.items() if name.startswith(_FIELD)}
    return {name: value for name, value in found.items() if value is not None}


def columns_option(resource: Resource, default: str) -> Callable[[_F], _F]:
    """Make the option that chooses fields."""
    text = f"Which fields, in this order, with commas between. Default: {default}."
    return click.option("--columns", type=ColumnsType(resource), help=text)


def output_option(default: str = "table") -> Callable[[_F], _F]:
    """Make the option that chooses how resources are printed."""
    kinds = click.Choice(["table", "json", "csv"])
    return click.option(
        "--output", "-o", type=kinds, default=default, show_default=True, help="For people, or for programs."
    )


def request_id_option(command: _F) -> _F:
    """Add the option that names a request."""
    text = "A UUID that names this write, to repeat one whose answer was lost. Default: a new one."
    return click.option("--request-id", default="", metavar="UUID", help=text)(command)


def validate_only_option(command: _F) -> _F:
    """Add the option that only tries a write."""
    return click.option("--validate-only", is_flag=True, help="Only try it out, and change nothing.")(command)


def force_option(resource: Resource) -> Callable[[_F], _F]:
    """Make the option that deletes what refers to a resource, where anything can."""
    if "force" not in resource.methods["Delete"].request.DESCRIPTOR.fields_by_name:
        return lambda command: command
    return click.option("--force", is_flag=True, help="Delete what refers to it too.")


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
