"""Writes the last measurements into docs/performance.md, between its markers, and draws docs/performance.svg."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from bench.picture import draw
from bench.report import RESULTS

_DOCS = Path(__file__).parents[1] / "docs"
_BEGIN, _END = "<!-- python -m bench.document writes from here -->\n", "<!-- to here -->\n"


def main() -> None:
    """Update the documents from the results of `python -m bench`."""
    content = json.loads((RESULTS / "bench.json").read_text())
    page = _DOCS / "performance.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text("".join([before, _BEGIN, *_lines(content), _END, after]))
    draw(content["figures"], _DOCS / "performance.svg")
    click.echo(f"wrote {page.name} and performance.svg in docs")


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    yield ", ".join(f"{name}: {value}" for name, value in content["conditions"].items()) + ".\n\n"
    headings, *rows = content["table"]
    for row in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(row)} |\n"


if __name__ == "__main__":
    main()
