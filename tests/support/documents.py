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
        language: The language after the fence.
        line: The number of its first line in the document.
        text: The content.
    """

    language: str
    line: int
    text: str


class Step(NamedTuple):
    """A command and its output, in a block of type `console`.

    Attributes:
        line: The number of the line in the document.
        command: The command, of one or more lines.
        answer: The output below the command.
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
    """Return the commands after `$ ` in blocks of type `console`."""
    for block in blocks(document):
        if block.language == "console":
            for match in re.finditer(r"^\$ (.*?)(?=^\$ |\Z)", block.text, re.MULTILINE | re.DOTALL):
                yield _step(block.line + block.text.count("\n", 0, match.start()), match[1].splitlines(keepends=True))


def _step(line: int, lines: list[str]) -> Step:
    """Split the lines into command and output: the command continues while a line ends in a backslash or in quotes."""
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
    """Return the commands in blocks of type `console` or shell: the line number, and the words of each program."""
    for step in steps(document):
        yield from ((step.line, words) for words in _programs(step.words))
    for block in blocks(document):
        if block.language in {"bash", "sh", "shell"}:
            text = block.text.replace("\\\n", " ")
            yield from ((block.line, words) for line in text.splitlines() for words in _programs(_split(line)))


def programs(step: Step) -> list[list[str]]:
    """Return the words of each program in a step."""
    return list(_programs(step.words))


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []  # a line within a multi-line quotation


def _programs(words: list[str]) -> Iterator[list[str]]:
    """Split the words of a line at pipes and other operators, without variable assignments before a program."""
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
    """Return the targets of links and images in a document."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(document)))


def anchors(document: str) -> set[str]:
    """Return the anchors that GitHub creates for the headings of a document."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found
