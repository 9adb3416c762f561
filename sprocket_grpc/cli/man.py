"""`sprocket-grpc man`: the manual page, made from the same declarations as `--help` and the completion."""

import inspect
from collections.abc import Iterator

import click

from sprocket_grpc import __version__
from sprocket_grpc.cli.libraries import server_libraries
from sprocket_grpc.cli.resources.options import DescribedCommand

_NEEDED = "`sprocket-grpc man` describes the commands of the server too (pip install 'sprocket-grpc[server]')"


@click.command("man")
def man_command() -> None:
    """Print the manual page of all commands, for man and packages of distributions.

    To read it: sprocket-grpc man | man -l -
    """
    with server_libraries(_NEEDED):
        click.echo("\n".join(_page(click.get_current_context().find_root())))


def _page(root: click.Context) -> Iterator[str]:
    summary, *paragraphs = _paragraphs(root.command)
    yield f'.TH SPROCKET-GRPC 1 "" "sprocket-grpc {__version__}" "User Commands"'
    yield from (".SH NAME", f"sprocket-grpc \\- {_escaped(summary)}")
    yield from (".SH SYNOPSIS", _bold("sprocket-grpc") + " COMMAND ...")
    yield from (".SH DESCRIPTION", *_separated(paragraphs))
    yield from (".SH OPTIONS", *_options(root))
    yield ".SH COMMANDS"
    for context in _commands(root):
        yield f'.SS "{_escaped(_usage(context))}"'
        yield from _separated(_paragraphs(context.command))
        yield from _options(context)
        yield from _fields(context.command)


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield a context of each command below a group, and of each below that, in the order of the help."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        if command := group.get_command(context, name):
            inner = click.Context(command, info_name=name, parent=context, resilient_parsing=True)
            yield inner
            yield from _commands(inner)


def _usage(context: click.Context) -> str:
    return " ".join([_path(context), *context.command.collect_usage_pieces(context)])


def _path(context: click.Context) -> str:
    words = [context.info_name or ""]
    while context.parent and context.parent.parent:
        context = context.parent
        words.insert(0, context.info_name or "")
    return " ".join(["sprocket-grpc", *words])


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:  # an argument is described in the text
            yield from (".TP", _bold(record[0]), _escaped(record[1]))


def _fields(command: click.Command) -> Iterator[str]:
    if isinstance(command, DescribedCommand):
        yield from (".PP", "Fields:")
        for name, text in command.fields:
            yield from (".TP", _bold(name), _escaped(text))


def _paragraphs(command: click.Command) -> list[str]:
    return [" ".join(each.split()) for each in inspect.cleandoc(command.help or "").split("\n\n")]


def _separated(paragraphs: list[str]) -> Iterator[str]:
    for each in paragraphs:
        yield from (".PP", _escaped(each))


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _escaped(text: str) -> str:
    r"""Return a text for roff, in which \ begins an escape, - is a hyphen, and . or ' at the start a request."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
