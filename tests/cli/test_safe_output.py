"""No field's value controls the terminal, programs get its exact value, and no encoding ends in a traceback."""

import ast
import csv
import io
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprocket.v1.factory_pb2 import CreateFactoryRequest, Factory
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, Location
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket_grpc.cli.client import output
from sprocket_grpc.cli.client.output import printable, printable_lines, to_json
from sprocket_grpc.testing.postgres import new_database
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, ServeProcess, environment, run, serving
from tests.support.terminal import run_in_terminal

ROOMS = ("audit", "chart", "client", "resources")
WRITERS = {"client/output.py", "chart/screen.py"}
"""The only modules of client commands that write to standard output; the drawings of a chart move the cursor."""

UNSAFE = [
    chr(code) for code in range(1, sys.maxunicode + 1) if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"}
]
"""Every control, format and bidi character that a field may hold, and both separators."""

LONGEST_NAME = 63


class Hostile(NamedTuple):
    """A server whose resources have display names of unsafe characters.

    Attributes:
        served: The server.
        names: The display names: together they have all unsafe characters.
        factory_ids: The ids of factories with these names.
    """

    served: ServeProcess
    names: list[str]
    factory_ids: list[str]

    def expanded(self, arguments: list[str]) -> Iterator[list[str]]:
        """Yield arguments with names and ids for the words in capitals: once, or for each factory."""
        everything = [each.replace("ALL", "".join(self.names)) for each in arguments]
        if "IDS" in arguments:
            position = arguments.index("IDS")
            everything[position : position + 1] = self.factory_ids
        if not {"ID", "NAME"} & {*arguments}:
            yield everything
            return
        for name, identifier in zip(self.names, self.factory_ids, strict=True):
            yield [{"ID": identifier, "NAME": name}.get(each, each) for each in everything]


@pytest.fixture(scope="module")
def hostile(postgres: str, template: str) -> Iterator[Hostile]:
    names = ["x" + "".join(UNSAFE[n : n + LONGEST_NAME - 1]) for n in range(0, len(UNSAFE), LONGEST_NAME - 1)]
    place = Location(display_name="x", address="x", city="x", postal_code="x", country_code="DE")
    with (
        new_database(postgres, template) as url,
        serving(database_url=url) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        locations, factories = LocationServiceStub(channel), FactoryServiceStub(channel)
        at = locations.CreateLocation(CreateLocationRequest(location=place)).location.id
        made = [
            factories.CreateFactory(CreateFactoryRequest(factory=Factory(display_name=each, location_id=at))).factory
            for each in names
        ]
        yield Hostile(served, names, [each.id for each in made])


# What every command prints.


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list", "factories", "--output", output] for output in ("table", "csv", "json")),
        *(["get", "factory", "IDS", "--output", output] for output in ("table", "csv", "json")),
        *(["get", "factory", "ID", "--output", output] for output in ("table", "json")),
        ["update", "factory", "ID", "--display-name", "NAME"],
        ["delete", "factory", "ALL"],
        ["export", "factories", "-", "--format", "csv"],
        ["export", "factories", "-", "--format", "jsonl"],
        ["chart", "ID"],
        ["chart", "NAME"],
        ["audit"],
        ["audit", "--json"],
        ["get", "factory", "ALL"],
        ["list", "factories", "--filter", "display_name = ALL"],
        ["list", "factories", "--columns", "ALL"],
        ["list", "ALL"],
        ["export", "factories", "ALL.txt"],
        ["health", "--service", "ALL"],
        ["create", "location", "--country-code", "ALL"],
        ["ALL"],
    ],
    ids=" ".join,
)
def test_no_command_writes_unsafe_characters_to_a_terminal(hostile: Hostile, arguments: list[str]) -> None:
    shown = set()
    for each in hostile.expanded(arguments):
        finished = run_in_terminal(*each, client_server=hostile.served.address)
        assert "Traceback" not in finished.errors
        shown |= {*finished.output} | {*finished.errors}
    assert not shown & {*UNSAFE} - {"\n"}


def test_programs_get_exact_values_from_csv_and_json(hostile: Hostile) -> None:
    for encoding in ("utf-8", "ascii", "latin-1"):
        for kind in ("csv", "json"):
            arguments = ["list", "factories", "--columns", "display_name", "--output", kind]
            finished = run_exactly(*arguments, client_server=hostile.served.address, encoding=encoding)
            names = [each["display_name"] for each in parsed(finished, kind)]
            assert sorted(names) == sorted(hostile.names)


def parsed(text: str, kind: str) -> list[dict[str, str]]:
    if kind == "json":
        loaded: list[dict[str, str]] = json.loads(text)
        return loaded
    return list(csv.DictReader(io.StringIO(text, newline="")))


def run_exactly(*arguments: str, encoding: str, **settings: str) -> str:
    """Run a command whose standard output has an encoding by PYTHONIOENCODING, and return its output, read as UTF-8."""
    variables = environment(settings) | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, check=True, env=variables, timeout=PATIENCE_SECONDS
    )
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, {"PYTHONIOENCODING": "cp437"}])
@pytest.mark.parametrize("arguments", [["list", "factories"], ["audit"], ["chart", "ID"], ["get", "factory", "ID"]])
def test_an_encoding_that_lacks_a_character_ends_no_command(
    hostile: Hostile, arguments: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for each in hostile.expanded(arguments):
        finished = run(*each, client_server=hostile.served.address)
        assert (finished.status, finished.errors) == (0, "")


# By construction.


@given(st.text(st.sampled_from([*UNSAFE, *'aé\\"\n東\N{NO-BREAK SPACE}', "\udcff", "\x00"])))
def test_escaped_text_has_no_unsafe_character_and_json_keeps_its_value(text: str) -> None:
    assert not {*printable(text)} & {*UNSAFE, "\udcff", "\x00"}
    assert not {*printable_lines(text)} & {*UNSAFE, "\udcff", "\x00"} - {"\n"}
    for indent in (None, 2):
        shown = to_json({text: [text]}, indent)
        assert not {*shown} & {*UNSAFE, "\udcff", "\x00"} - {"\n"}
        assert json.loads(shown) == {text: [text]}


@given(st.text())
def test_text_without_unsafe_characters_is_shown_as_it_is(text: str) -> None:
    safe = "".join(each for each in text if each.isprintable() or unicodedata.category(each) == "Zs")
    assert printable(safe) == safe
    assert to_json(safe) == json.dumps(safe, ensure_ascii=False)


@pytest.mark.parametrize("room", ROOMS)
def test_only_one_module_of_the_client_commands_writes_to_standard_output(room: str) -> None:
    package = Path(output.__file__).parents[1]
    found = {
        f"{path.relative_to(package)}: {ast.unparse(node)}"
        for path in (package / room).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if str(path.relative_to(package)) not in WRITERS and is_output(node)
    }
    assert not found


def is_output(node: ast.AST) -> bool:
    """Whether a node calls print or click.echo, or writes to sys.stdout."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return called in {"print", "click.echo", "click.secho"} or called.startswith(("sys.stdout.w", "sys.stdout.buffer"))
