"""`--help`, the completion and the manual page say the same, and a typing error is answered with what was meant."""

import re
import subprocess
from collections.abc import Iterator
from shutil import which

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from sprocket_grpc.cli.main import COMMANDS, main
from sprocket_grpc.cli.resources.catalogue import find
from tests import ROOT
from tests.support.command_line import PATIENCE_SECONDS, run

_WIDE = 10_000
"""So wide that help has each description on one line."""


def walk(context: click.Context) -> Iterator[click.Context]:
    """Yield a context of a command and of all commands below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command, name
            yield from walk(click.Context(command, info_name=name, parent=context))


def command_path(context: click.Context) -> str:
    """Return the words of a command."""
    return context.command_path


def is_described(context: click.Context) -> bool:
    """Whether the fields of a resource belong to the help of a command."""
    return bool(re.fullmatch(r"sprocket-grpc (list|get|export) \S+", context.command_path))


ROOT_CONTEXT = main.make_context(
    "sprocket-grpc", [], resilient_parsing=True, terminal_width=_WIDE, max_content_width=_WIDE
)
CONTEXTS = [*walk(ROOT_CONTEXT)]
every_command = pytest.mark.parametrize("context", CONTEXTS, ids=command_path)


@pytest.fixture(scope="module")
def page() -> str:
    finished = run("man")
    assert (finished.status, finished.errors) == (0, "")
    return finished.output


def sections(page: str) -> dict[str, str]:
    """Return the parts of the manual page without escapes, by the usage of their commands; the general one is first."""
    plain = re.sub(r"\\f[BR]|\\&", "", page).replace("\\-", "-").replace("\\(dq", '"').replace("\\e", "\\")
    general, *commands = re.split(r"^\.SS ", plain, flags=re.MULTILINE)
    found = {heading.strip('"'): text for heading, _, text in (each.partition("\n") for each in commands)}
    return {"sprocket-grpc": general.partition("\nsprocket-grpc - ")[2], **found}


def usage(context: click.Context) -> str:
    """Return the heading of a command in the manual page."""
    pieces = context.command.collect_usage_pieces(context) if context.parent else []
    return " ".join([context.command_path, *pieces])


def completed(context: click.Context, begun: str) -> set[str]:
    """Return what the completion offers behind a command."""
    path = context.command_path.split()[1:]
    return {each.value for each in BashComplete(main, {}, "sprocket-grpc", "_C").get_completions(path, begun)}


def test_the_manual_page_has_all_commands_in_the_order_of_the_help(page: str) -> None:
    assert [*sections(page)] == [usage(each) for each in CONTEXTS]
    assert {each.info_name for each in CONTEXTS if each.parent is ROOT_CONTEXT} == {*COMMANDS}


@every_command
def test_help_and_manual_page_and_completion_have_the_same_options(page: str, context: click.Context) -> None:
    shown = " ".join(context.get_help().split())
    described = sections(page)[usage(context)]
    names: set[str] = set()
    for each in context.command.get_params(context):
        record = each.get_help_record(context)
        if isinstance(each, click.Option):
            assert record, "a hidden option"
            assert f" {' '.join(' '.join(record).split())}" in shown
            assert f".TP\n{record[0]}\n{' '.join(record[1].split())}\n" in described
            names.update(each.opts, each.secondary_opts)
    assert completed(context, "-") == names


@every_command
def test_help_and_completion_have_the_commands_of_the_manual_page(context: click.Context) -> None:
    names = {each.info_name for each in CONTEXTS if each.parent is context}
    _, _, listed = context.get_help().partition("\nCommands:\n")
    assert {each.split()[0] for each in listed.splitlines()} == names
    if isinstance(context.command, click.Group):
        assert completed(context, "") == names


@every_command
def test_help_and_manual_page_have_the_same_text(page: str, context: click.Context) -> None:
    text, *_ = re.split(r"^\.TP$|^\.SH OPTIONS$", sections(page)[usage(context)], flags=re.MULTILINE)
    without_requests = re.sub(r"^\.SH SYNOPSIS\n.*\n|^\.(PP$|SH .*)", "", text, flags=re.MULTILINE)
    assert " ".join(without_requests.split()) == " ".join((context.command.help or "").split())


def test_a_shell_completes_behind_an_unknown_resource_without_an_error() -> None:
    names = {each.info_name for each in CONTEXTS if each.command_path.startswith("sprocket-grpc get ")}
    found = BashComplete(main, {}, "sprocket-grpc", "_C").get_completions(["get", "factoris"], "")
    assert {each.value for each in found} == names


def test_the_manual_page_that_the_wheel_installs_is_the_one_that_is_printed(page: str) -> None:
    assert (ROOT / "share/man/man1/sprocket-grpc.1").read_text() == page, "run make generate"


@pytest.mark.skipif(not which("groff"), reason="groff is not installed")
def test_the_manual_page_is_valid_roff(page: str) -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-z"]
    done = subprocess.run(command, input=page, capture_output=True, check=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments", [["-h"], ["list", "-h"], ["list", "factories", "-h"], ["chart", "-h"]], ids=" ".join
)
def test_h_is_help(arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == run(*arguments[:-1], "--help").output


@every_command
def test_the_help_of_a_group_describes_each_command_in_a_whole_sentence(context: click.Context) -> None:
    output = CliRunner().invoke(main, [*context.command_path.split()[1:], "--help"]).output
    _, _, listed = output.partition("\nCommands:\n")
    assert not re.search(r"\.\.\.$", listed, re.MULTILINE)


@pytest.mark.parametrize("context", [each for each in CONTEXTS if is_described(each)], ids=command_path)
def test_help_and_manual_page_describe_every_field(page: str, context: click.Context) -> None:
    resource = find(context.info_name or "", "List")
    assert resource
    shown = " ".join(context.get_help().split())
    described = " ".join(sections(page)[usage(context)].replace("\n.TP\n", " ").split())
    for field in resource.descriptor.fields_by_name:
        text = f"{field} {resource.description(field)}".strip()
        assert text in shown
        assert text in described


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lst", "factories"], "no such command 'lst'; did you mean 'list'? `sprocket-grpc --help` lists all"),
        (["xyzzy"], "no such command 'xyzzy'; `sprocket-grpc --help` lists all"),
        (["list", "factoris"], "unknown resource 'factoris': did you mean 'factories'? expected "),
        (["list", "factories", "--colums", "id"], "--columns"),
    ],
)
def test_a_typing_error_is_answered_with_what_was_meant(arguments: list[str], expected: str) -> None:
    finished = run(*arguments)
    assert finished.status == 2
    assert expected in finished.errors
