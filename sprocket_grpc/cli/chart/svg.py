"""Completes the SVG that matplotlib writes: a title, a description, a size that adapts, and dark colours."""

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

_STYLE = "max-width: 100%; height: auto"
"""The picture has its size where there is room, and shrinks with a narrow page."""


def complete(svg: str, title: str, description: str, dark: Mapping[str, str]) -> str:
    """Return the SVG with what matplotlib leaves out.

    Args:
        svg: The text of the file.
        title: What the picture shows, which screen readers read aloud.
        description: What can be seen in it.
        dark: For each colour, the one that replaces it for viewers who prefer dark pages.
    """
    added = (
        f"\n <title>{escape(title)}</title>\n <desc>{escape(description)}</desc>"
        f"\n <style>{_dark_rules(dark)}\n </style>"
    )
    return re.sub(r"<svg ([^>]*)>", lambda head: f'<svg role="img" style="{_STYLE}" {head[1]}>{added}', svg, count=1)


def _dark_rules(colours: Mapping[str, str]) -> str:
    """Return rules that override the style attributes, because not every viewer knows variables of CSS."""
    rules = [
        f'[style*="{name}: {light.lower()}"] {{ {name}: {dark} !important }}'
        for light, dark in colours.items()
        for name in ("fill", "stroke")
    ]
    return "\n  @media (prefers-color-scheme: dark) {\n   " + "\n   ".join(rules) + "\n  }"
