"""Draws the figures that have a target, as ratios on one logarithmic scale."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_MET, _MISSED, _INK = "#2b7a4b", "#c0392b", "#222222"
_INCHES, _INCHES_PER_BAR = 10, 0.42


def draw(figures: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw a bar from 1 to each ratio, with its minimum and maximum and its targets, as SVG.

    Args:
        figures: The figures that `report` writes as JSON.
        path: The file. Its background is opaque, so that it is readable on a dark page too.
    """
    shown = [figure for figure in figures if figure["targets"] and not figure["missing"]]
    # The same picture gives the same file, and texts stay texts instead of becoming outlines.
    mpl.rcParams |= {"svg.hashsalt": "sprocket", "svg.fonttype": "none"}
    drawing = Figure(figsize=(_INCHES, 1.2 + _INCHES_PER_BAR * len(shown)), facecolor="white", layout="constrained")
    axes = drawing.subplots()
    for place, figure in enumerate(shown):
        _bar(axes, place, figure)
    axes.set_xscale("log")
    axes.axvline(1, color=_INK, linewidth=1)
    names = [f"{each['what']} ({each['unit']})\nagainst {each['against']}" for each in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.invert_yaxis()
    axes.set_xlabel("ratio, with its minimum and maximum; ticks are targets: green is met, red is not")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.margins(y=0.01)
    drawing.savefig(path, format="svg", metadata={"Date": None})


def _bar(axes: Any, place: int, figure: Mapping[str, Any]) -> None:  # noqa: ANN401  # matplotlib has no types
    ratio, ratios, met = figure["ratio"], figure["ratios"], figure["met"]
    colour = _MET if met[0] else _MISSED
    low, high = ratio - min(ratios), max(ratios) - ratio
    axes.barh(place, ratio - 1, left=1, height=0.6, color=colour)
    axes.errorbar(ratio, place, xerr=[[low], [high]], color=_INK, linewidth=0.8, capsize=2)
    for target in figure["targets"]:
        axes.plot([target["ratio"]] * 2, [place - 0.4, place + 0.4], color=_INK, linewidth=1.5)
    axes.annotate(f" {ratio:.2g} x", (max(*ratios, 1), place), va="center", fontsize=8)
