"""The documents of this repository: their blocks of code, commands and links."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

_NOT_OURS = {"build", "dist", "node_modules"}


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


def find_documents() -> list[Path]:
    """Return all Markdown files of the repository."""
    found = []
    for directory, inside, files in os.walk(ROOT):
        inside[:] = [name for name in inside if not name.startswith(".") and name not in _NOT_OURS]
        found += [Path(directory, name) for name in files if name.endswith(".md")]
    return sorted(found)


def commands(document: str) -> Iterator[tuple[int, list[str]]]:
    """Return what is to be typed, in blocks of a terminal or a shell: the line, and the words of one program each."""
    for step in steps(document):
        yield from ((step.line, words) for words in _programs(step.words))
    for block in blocks(document):
        if block.language in {"bash", "sh", "shell"}:
            text = block.text.replace("\\\n", " ")
            yield from ((block.line, words) for line in text.splitlines() for words in _programs(_split(line)))


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []  # within a text of several lines


def _programs(words: list[str]) -> Iterator[list[str]]:
    """Divide a line at pipes and the like, and leave out what is set before a program."""
    program: list[str] = []
    for word in [*words, ";"]:
        if word in {"|", "||", "&&", ";", "&"}:
            if program:
                yield program
            program = []
        elif program or not re.match(r"\w+=|export$|env$|exec$|time$", word):
            program.append(word)


def prose(document: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", document, flags=re.MULTILINE | re.DOTALL)


def links(document: str) -> list[str]:
    """Return where the links and pictures of a document lead."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(document)))


def anchors(document: str) -> set[str]:
    """Return what links can point at, as GitHub makes it of headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
