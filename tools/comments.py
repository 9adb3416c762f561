"""The comments of the contract, as Markdown."""

import re
from collections.abc import Collection, Iterator, Sequence


def as_text(comment: str, names: Collection[str]) -> str:
    """Convert a comment to Markdown paragraphs, lists and code, with links to the `names` that it mentions."""
    return "\n".join(_blocks(comment.splitlines(), names))


def as_cell(comment: str, names: Collection[str]) -> str:
    """Convert a comment to one line of Markdown, for a table."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in comment.split("\n\n")]
    return "<br>".join(_linked(paragraph, names) for paragraph in paragraphs).replace("|", r"\|")


def _blocks(lines: Sequence[str], names: Collection[str]) -> Iterator[str]:
    """Fence indented lines as code, and put a blank line before lists, which some Markdown parsers require."""
    code = False
    for before, line in zip(["", *lines], [line.removeprefix(" ") for line in lines], strict=False):
        indented = line.startswith("    ")
        if indented != code and line:
            yield "```json" if indented else "```"
            code = indented
        if line.startswith("- ") and not before.startswith((" - ", "   ")):
            yield ""
        yield line[4:] if code else _linked(re.sub("^- ([A-Z_]+):", r"- `\1`:", line), names)
    if code:
        yield "```"


def _linked(text: str, names: Collection[str]) -> str:
    """Link the names in a text that have two or more words, outside of code; single words would be ambiguous."""
    outside_of_code = re.split("(`[^`]*`)", text)
    outside_of_code[::2] = [
        re.sub(r"\b(?:[A-Z][a-z]+){2,}\b", lambda match: link(match[0]) if match[0] in names else match[0], part)
        for part in outside_of_code[::2]
    ]
    return "".join(outside_of_code)


def link(name: str) -> str:
    """Return a link to the heading with a name."""
    return f"[{name}](#{name.lower()})"
