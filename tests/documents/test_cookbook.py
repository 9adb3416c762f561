"""docs/grpcurl.md: every command runs and has the documented answer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.callers import certificate, server_certificate
from tests.support.command_line import run, serving
from tests.support.documents import Step, steps
from tests.support.grpcurl import Command, call, parse_answer, parse_command
from tests.support.placeholders import Placeholders

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "grpcurl.md").read_text()
SHOWN_ADDRESS = "127.0.0.1:50051"


class Terminal:
    """Runs the commands of the page: on one database, with one server after the other, in a directory with files."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = url
        self._directory = directory
        self._placeholders = Placeholders()
        self._server = ExitStack()
        self._address = ""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Stop the last server in the end."""
        with self._server:
            yield

    def do(self, step: Step) -> None:
        """Run a command, and compare its answer."""
        words = step.words
        settings = dict(word.split("=", 1) for word in words if word.startswith("SPROCKET_"))
        match words[len(settings) :]:
            case ["grpcurl", *_]:
                answered = call(self._to_server(parse_command(words)), self._directory)
                self._placeholders.assert_alike(parse_answer(step.answer).comparable(), answered.comparable())
            case ["sprocket-grpc", "api-key", *arguments]:
                finished = run("api-key", *arguments, database_url=self._url)
                self._placeholders.assert_alike(step.answer, finished.errors + finished.output)
            case ["make", "serve"] | ["sprocket-grpc", "serve"]:
                self._serve(settings)
            case _:
                raise AssertionError("this test does not support the command")

    def _serve(self, settings: dict[str, str]) -> None:
        self._server.close()
        values = {name.removeprefix("SPROCKET_").lower(): self._path(value) for name, value in settings.items()}
        self._address = self._server.enter_context(serving(database_url=self._url, **values)).address

    def _path(self, value: str) -> str:
        file = self._directory / value
        return str(file) if file.exists() else value

    def _to_server(self, command: Command) -> Command:
        assert command.address == SHOWN_ADDRESS
        fill = {"-d": self._placeholders.put_into_json}
        options = [(name, fill.get(name, self._placeholders.put_into)(value)) for name, value in command.options]
        return replace(command, address=self._address, options=options)


def test_every_command_has_the_documented_answer(database_url: str, tmp_path: Path) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    root = certificate("root")
    server_certificate(root).write(tmp_path)
    (tmp_path / "ca.crt").write_bytes(root.pem)
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    terminal = Terminal(database_url, tmp_path)
    with terminal.opened():
        for step in steps(DOCUMENT):
            try:
                terminal.do(step)
            except Exception as error:
                error.add_note(f"docs/grpcurl.md, line {step.line}: {step.command}")
                raise
