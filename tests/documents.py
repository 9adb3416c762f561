"""The documents of this repository: their blocks of code, commands and links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Block(NamedTuple):
    """A block of code.

    Attributes:
        language: What it says that it is.
        line: The number of its first line in the document.
        text: What is in it.
    """

    language: str
    line: int
    text: str


class Step(NamedTuple):
    """A command with its answer, in a block that shows a terminal.

    Attributes:
        line: The number of the line in the document.
        command: The command, which may have several lines.
        answer: What is shown below it.
    """

    line: int
    command: str
    answer: str

    @property
    def words(self) -> list[str]:
        """The words of the command, as a shell splits them."""
        return shlex.split(self.command.replace("\\\n", " "), comments=True)


def blocks(document: str) -> Iterator[Block]:
    """Return the blocks of code of a document."""
    for match in re.finditer(r"^```(\S*)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        yield Block(match[1], document.count("\n", 0, match.start()) + 2, match[2])


def steps(document: str) -> Iterator[Step]:
    """Return the commands behind `$ ` in the blocks that show a terminal."""
    for block in blocks(document):
        if block.language == "console":
            for match in re.finditer(r"^\$ (.*?)(?=^\$ |\Z)", block.text, re.MULTILINE | re.DOTALL):
                yield _step(block.line + block.text.count("\n", 0, match.start()), match[1].splitlines(keepends=True))


def _step(line: int, lines: list[str]) -> Step:
    """Tell the command, which ends with the first line that ends neither in a backslash nor within quotes."""
    end = 1
    while end < len(lines) and not _is_complete("".join(lines[:end])):
        end += 1
    return Step(line, "".join(lines[:end]).strip(), "".join(lines[end:]))


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\\n")
