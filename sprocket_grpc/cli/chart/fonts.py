"""Finds fonts for a title: matplotlib brings one along, which lacks many scripts."""

import logging

WEIGHT = "bold"
"""The weight of the title. A family may have a character in another weight only."""

_DEFAULT = "DejaVu Sans"
_BOXES = "Last Resort"
"""The beginning of the name of a font that has a box for every character."""


def families_for(title: str) -> list[str]:
    """Return the names of fonts that together have the characters of a title, as far as such fonts are installed.

    The first one is the font that matplotlib brings along, so that other titles look the same everywhere.
    """
    from matplotlib.font_manager import fontManager  # noqa: PLC0415  # slow to import, and an extra

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # families without this weight do too
    families, missing = [_DEFAULT], {*map(ord, title)} - _characters(_DEFAULT)
    for name in sorted({font.name for font in fontManager.ttflist}):
        if not missing:
            break
        if not name.startswith(_BOXES) and (found := missing & _characters(name)):
            families.append(name)
            missing -= found
    return families


def _characters(family: str) -> set[int]:
    """Return the characters that a family has in this weight, or none if its file cannot be read."""
    from matplotlib.font_manager import FontProperties, findfont  # noqa: PLC0415  # as above
    from matplotlib.ft2font import FT2Font  # noqa: PLC0415  # as above

    try:
        return {*FT2Font(findfont(FontProperties(family=family, weight=WEIGHT))).get_charmap()}
    except (OSError, RuntimeError):
        return set()
