"""The documents are right: their code runs, and their commands, settings, paths and links exist."""

import asyncio
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import ParseDict

import sprocket_grpc.server.grpc_server  # noqa: F401  # registers the contract
from sprocket_grpc import __version__
from sprocket_grpc.cli.main import main
from sprocket_grpc.config.environment import CLIENT_VARIABLES, PREFIX
from sprocket_grpc.config.settings import SECRETS, Settings
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.documents import Block, anchors, blocks, commands, find_documents, links, prose
from tests.support.grpcurl import parse_command
from tests.support.service import running_service
from tools.api_document import Document, read_contract

pytest_plugins = ["pytester"]

DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in find_documents()}
BLOCKS = [(name, block) for name, document in DOCUMENTS.items() for block in blocks(document)]
PYTHON = [(name, block) for name, block in BLOCKS if block.language == "python"]
TESTS = [(name, block) for name, block in PYTHON if "def test_" in block.text]
SCRIPTS = [each for each in PYTHON if each not in TESTS]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SHOWN_ADDRESS = "127.0.0.1:50051"

POSTGRES = """
import os
import pytest

@pytest.fixture(scope="session")
def sprocket_postgres():
    return os.environ["POSTGRES"]
"""

# Directories without code: names in them that look like settings do not count.
NOT_CODE = {"__pycache__", "node_modules", "tests"}

every_document = pytest.mark.parametrize("name", DOCUMENTS)


# Code.


@pytest.mark.parametrize("code", [block.text for _, block in SCRIPTS], ids=[f"{n}:{b.line}" for n, b in SCRIPTS])
async def test_code_examples_run(database_url: str, code: str) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    async with running_service(database_url) as service:
        code = code.replace(SHOWN_ADDRESS, service.address)
        process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code)
        assert await process.wait() == 0


def test_example_tests_pass(postgres: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES", postgres)
    pytester.makeconftest(POSTGRES)
    for name, block in TESTS:
        pytester.makepyfile(**{f"test_{Path(name).stem}_{block.line}": block.text})
    options = ("-pno:cacheprovider", "--strict-markers", "-Werror", "-oasyncio_default_fixture_loop_scope=function")
    outcomes = pytester.runpytest_subprocess(*options).parseoutcomes()
    assert outcomes == {"passed": sum(block.text.count("def test_") for _, block in TESTS)}


@pytest.mark.parametrize(("name", "block"), [(n, b) for n, b in BLOCKS if b.language in {"json", "toml"}])
def test_json_and_toml_blocks_are_valid(name: str, block: Block) -> None:
    assert name
    {"json": json.loads, "toml": tomllib.loads}[block.language](block.text)


# Commands.


@every_document
def test_commands_and_their_options_exist(name: str) -> None:
    for line, words in commands(DOCUMENTS[name]):
        try:
            assert_exists(words, (ROOT / name).parent)
        except Exception as error:
            error.add_note(f"{name}, line {line}: {' '.join(words)}")
            raise


def assert_exists(words: list[str], directory: Path) -> None:
    """Check a command of this project; the arguments of other programs are not checked."""
    match [Path(words[0]).name, *words[1:]]:
        case ["make", *wanted]:
            assert {word for word in wanted if "=" not in word and not word.startswith("-")} <= TARGETS
        case ["sprocket-grpc", *arguments]:
            assert_parses(main, arguments)
        case ["grpcurl", *_]:
            command = parse_command(words)
            assert_in_contract(command.service or command.method, command.request)
        case ["buf", "curl", *arguments]:
            assert_in_contract("/".join(arguments[-1].split("/")[3:]), {})
        case ["python" | "python3", "-m", module, *_]:
            assert find_spec(module)
    if words[0].startswith(".") and not words[0].startswith(".venv/"):
        assert (ROOT / words[0]).exists() or (directory / words[0]).exists()


def assert_parses(command: click.Command, arguments: list[str]) -> None:
    """Check that a command accepts the arguments; the files that they name need not exist."""
    context = click.Context(command, **command.context_settings)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        subcommand = command.get_command(context, arguments[0])
        assert subcommand, f"{command.name} has no {arguments[0]}"
        command, arguments, context = subcommand, arguments[1:], click.Context(subcommand, parent=context)
    try:
        command.make_context(command.name, list(arguments), parent=context.parent)
    except click.MissingParameter:
        raise
    except (click.BadParameter, click.exceptions.Exit):
        pass


def assert_in_contract(name: str, request: dict[str, Any]) -> None:
    """Check that a service or a method exists in the contract, and that the method accepts the request."""
    pool = descriptor_pool.Default()
    if "/" not in name:
        assert name == "list" or pool.FindServiceByName(name) is not None
        return
    method = pool.FindMethodByName(name.replace("/", "."))
    ParseDict(request, message_factory.GetMessageClass(method.input_type)())


# Names.


@every_document
def test_settings_exist(name: str) -> None:
    named = set(re.findall(r"\bSPROCKET_[A-Z_]*[A-Z]\b", DOCUMENTS[name]))
    assert named <= known_variables()


@cache
def known_variables() -> set[str]:
    """Return all variables that the code reads or sets."""
    found = {PREFIX + field.upper() for field in Settings.model_fields} | {*CLIENT_VARIABLES}
    found |= {f"{PREFIX}{secret.upper()}_FILE" for secret in SECRETS}
    for path in files_of_code():
        found.update(re.findall(r"\bSPROCKET_[A-Z_]*[A-Z]\b", path.read_text(errors="ignore")))
    return found


def files_of_code() -> Iterator[Path]:
    """Return the files of the repository except documents and tests."""
    for directory, inside, files in os.walk(ROOT):
        inside[:] = [each for each in inside if not each.startswith(".") and each not in NOT_CODE]
        yield from (Path(directory, each) for each in files if not each.endswith((".md", ".svg", ".txt", ".lock")))


@every_document
def test_paths_exist(name: str) -> None:
    tops = {path.name for path in ROOT.iterdir()} - {".cache", "build"}  # which commands write, when they have run
    for text in re.findall(r"`([\w./*-]+/[\w./*-]*)`", prose(DOCUMENTS[name])):
        if text.split("/")[0] in tops:
            assert list(ROOT.glob(text.rstrip("/"))), text


# Links.


@every_document
def test_links_have_existing_targets(name: str) -> None:
    for link in links(DOCUMENTS[name]):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), link
            continue
        target = (ROOT / name).parent / parts.path if parts.path else ROOT / name
        assert target.exists(), link
        if parts.fragment:
            assert parts.fragment in anchors(target.read_text()), link


@every_document
def test_named_tests_exist_in_the_linked_file(name: str) -> None:
    for test, path in re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", DOCUMENTS[name]):
        source = ((ROOT / name).parent / path).read_text()
        assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), test


# Generated documents.


def test_the_api_document_is_up_to_date_with_the_contract() -> None:
    files = read_contract(ROOT / "protos")
    assert files
    assert DOCUMENTS["docs/api.md"] == "\n".join(Document(files).lines()).rstrip() + "\n", "run make generate"


def test_the_api_document_has_every_name_of_the_contract() -> None:
    headings = anchors(DOCUMENTS["docs/api.md"])
    for file in read_contract(ROOT / "protos"):
        methods = [method.name for service in file.service for method in service.method]
        values = [value.name for enum in file.enum_type for value in enum.value]
        services = [service.name for service in file.service]
        enums = [enum.name for enum in file.enum_type]
        messages = [message.name for message in file.message_type]
        assert {name.lower() for name in (*services, *enums, *messages, *methods, *values)} <= headings
        for message in file.message_type:
            for field in message.field:
                assert f"| {field.number} | `{field.name}` |" in DOCUMENTS["docs/api.md"]


def test_the_changelog_has_this_version() -> None:
    changelog = DOCUMENTS["CHANGELOG.md"]
    versions = re.findall(r"^## \[([^]]+)\]", changelog, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert [__version__] == versions[1:2] or f"Becomes {__version__}" in changelog


def test_the_changelog_has_each_section_and_each_entry_once() -> None:
    _, *versions = re.split(r"^## ", DOCUMENTS["CHANGELOG.md"], flags=re.MULTILINE)
    for version in versions:
        sections = re.findall(r"^### (.+)$", version, re.MULTILINE)
        known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert sections == [each for each in known if each in sections]
        beginnings = [" ".join(entry.split()[:6]) for entry in re.findall(r"^- .+(?:\n  .+)*", version, re.MULTILINE)]
        assert [each for each in beginnings if beginnings.count(each) > 1] == []


def test_no_page_has_more_than_300_lines_except_the_generated_one_and_the_changelog() -> None:
    lengths = {name: len(document.splitlines()) for name, document in DOCUMENTS.items()}
    assert {name for name, length in lengths.items() if length > 300} - {"docs/api.md", "CHANGELOG.md"} == set()
