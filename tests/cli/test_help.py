"""`--help`, the completion and the manual page say the same, and a typing error is answered with what was meant."""

import re
import subprocess
from shutil import which

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from sprocket_grpc.cli.main import COMMANDS, main
from sprocket_grpc.cli.man import commands
from sprocket_grpc.cli.resources.catalogue import catalogue
from tests import ROOT
from tests.support.command_line import PATIENCE_SECONDS, run

PATHS = [each.command_path.split()[1:] for each in commands(click.Context(main, info_name="sprocket-grpc"))]


@pytest.fixture(scope="module")
def page() -> str:
    finished = run("man")
    assert (finished.status, finished.errors) == (0, "")
    return finished.output


def section(page: str, path: list[str]) -> str:
    """Return the part of the manual page about a command, without escapes."""
    plain = re.sub(r"\\f[BR]", "", page).replace("\\-", "-")
    [found] = re.findall(rf'^\.SS "sprocket-grpc {" ".join(path)} .*?(?=^\.SS|\Z)', plain, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_manual_page_has_all_commands_in_the_order_of_the_help(page: str) -> None:
    headings = [line.replace("\\-", "-") for line in page.splitlines() if line.startswith(".SS")]
    assert [" ".join(each.split()[2:])[: len(" ".join(path))] for each, path in zip(headings, PATHS, strict=True)] == [
        " ".join(path) for path in PATHS
    ]
    assert {path[0] for path in PATHS} == {*COMMANDS}


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_and_manual_page_and_completion_have_the_same_options(page: str, path: list[str]) -> None:
    context = click.Context(main, info_name="sprocket-grpc")
    for word in path:
        assert isinstance(context.command, click.Group)
        command = context.command.get_command(context, word)
        assert command
        context = click.Context(command, info_name=word, parent=context)
    options = {
        option for each in context.command.get_params(context) if isinstance(each, click.Option) for option in each.opts
    }
    shown, described = context.get_help(), section(page, path)
    for option in options:
        assert option in shown
        assert option in described
    completed = BashComplete(main, {}, "sprocket-grpc", "_COMPLETE").get_completions(path, "--")
    assert {each.value for each in completed} == {each for each in options if each.startswith("--")}


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


@pytest.mark.parametrize(
    "path", [[], *(each for each in PATHS if len(each) == 1)], ids=lambda path: " ".join(path) or "all"
)
def test_the_help_of_a_group_describes_each_command_in_a_whole_sentence(path: list[str]) -> None:
    output = CliRunner().invoke(main, [*path, "--help"]).output
    _, _, listed = output.partition("\nCommands:\n")
    assert not re.search(r"\.\.\.$", listed, re.MULTILINE)


@pytest.mark.parametrize("verb", ["list", "get", "export"])
@pytest.mark.parametrize("name", ["location", "sprocket-type", "factory", "sprocket"])
def test_help_describes_every_field(verb: str, name: str) -> None:
    output = " ".join(run(verb, name, "--help").output.split())
    resource = catalogue()[name]
    for field in resource.descriptor.fields_by_name:
        assert f"{field} {resource.description(field)}".strip() in output


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
