"""Types the commands of a document as its reader does: one after the other, in one directory, beside one server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.command_line import PATIENCE_SECONDS, environment, serving
from tests.support.documents import Step
from tests.support.grpcurl import Command, call, parse_answer, parse_command
from tests.support.placeholders import Placeholders
from tests.support.ports import free_address

_ASSIGNMENT = re.compile(r"(SPROCKET_\w+)=(.*)", re.DOTALL)
_SHOWN_PORTS = ("50051", "50052", "8080", "9464")
_PROGRESS = ("importing ", "exporting ")
_MAY_BE_MISSING = ("curl", "jq")
"""Programs that readers may have to install, and a minimal machine lacks."""


class Reader:
    """Runs steps on one database, with one server after the other.

    Attributes:
        missing: The programs that are not installed, whose commands are left out.

    Args:
        url: The database, with the sample data.
        directory: The directory in which the commands run, with the files that they read.
        has_web: Whether the document calls the web listener.
    """

    def __init__(self, url: str, directory: Path, *, has_web: bool = False) -> None:
        self.missing: set[str] = set()
        self._directory = directory
        self._placeholders = Placeholders()
        self._ports = {port: free_address().rpartition(":")[2] for port in _SHOWN_PORTS}
        self._exported = {"SPROCKET_DATABASE_URL": url, "SPROCKET_LISTEN": self._real("127.0.0.1:50051")}
        if has_web:
            self._exported["SPROCKET_WEB_LISTEN"] = self._real("127.0.0.1:8080")
        self._server = ExitStack()
        self._is_serving = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Stop the last server in the end."""
        with self._server:
            yield

    def do(self, step: Step) -> None:
        """Run a command, and compare its answer, if the document shows one."""
        if missing := {each for each in _MAY_BE_MISSING if each in step.words and not shutil.which(each)}:
            self.missing |= missing
            return
        assigned, rest = _split(step.words)
        match rest:
            case ["export", *variables]:
                self._exported |= {name: self._real(value) for name, value in _split(variables)[0].items()}
            case ["make" | "sprocket-grpc", "serve"] if not step.answer:
                self._serve(assigned)
            case ["grpcurl", *_]:
                self._call(parse_command(rest), step.answer)
            case _:
                self._run(step)

    def _serve(self, assigned: dict[str, str]) -> None:
        self._server.close()
        variables = self._exported | {name: self._real(value) for name, value in assigned.items()}
        settings = {name.removeprefix("SPROCKET_").lower(): self._path(value) for name, value in variables.items()}
        self._server.enter_context(serving(**settings))
        self._is_serving = True

    def _call(self, command: Command, shown: str) -> None:
        self._start_server()
        fill = {"-d": self._placeholders.put_into_json}
        options = [(name, fill.get(name, self._placeholders.put_into)(value)) for name, value in command.options]
        answered = call(replace(command, address=self._real(command.address), options=options), self._directory)
        if shown:
            self._placeholders.assert_alike(parse_answer(shown).comparable(), answered.comparable())
        else:
            assert answered.code is None, answered

    def _run(self, step: Step) -> None:
        self._start_server()
        command = self._placeholders.put_into(self._real(step.command.replace(".venv/bin/", "")))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self._directory,
            env=environment({}) | self._exported | {"PATH": path, "COLUMNS": "80"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        if step.answer:
            assert done.returncode or not step.answer.startswith("Error: "), done.stdout
            self._placeholders.assert_alike(_spaced(self._real(step.answer)), _spaced(done.stdout))
        else:
            assert done.returncode == 0, done.stdout

    def _start_server(self) -> None:
        if not self._is_serving:
            self._serve({})

    def _real(self, text: str) -> str:
        """Replace the ports that documents show by those that are free here."""
        return re.sub(r"(?<=:)\d+\b", lambda match: self._ports.get(match[0], match[0]), text)

    def _path(self, value: str) -> str:
        file = self._directory / value
        return str(file) if file.is_file() else value


def _split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into the assignments of SPROCKET_* variables at their beginning, and the rest."""
    assigned: dict[str, str] = {}
    for position, word in enumerate(words):
        if not (match := _ASSIGNMENT.fullmatch(word)):
            return assigned, words[position:]
        assigned[match[1]] = match[2]
    return assigned, []


def _spaced(text: str) -> str:
    """Return a text with single spaces, since columns are as wide as their widest value, and without progress bars."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_PROGRESS)]
    return "\n".join(" ".join(line.split()) for line in lines)
