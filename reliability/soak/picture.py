"""Draws the samples over time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from reliability.soak.samples import Sample
from reliability.soak.verdict import Trend, after_warm_up

_FLAT, _GROWING, _INK = "#2b7a4b", "#c0392b", "#222222"
_COLUMNS, _INCHES = 2, (10.0, 9.0)


def draw(samples: Sequence[Sample], trends: Sequence[Trend], path: Path) -> None:
    """Draw a curve for each kind, green if it is flat and red if it grows, as SVG."""
    mpl.rcParams |= {"svg.hashsalt": "sprocket", "svg.fonttype": "none"}
    drawing = Figure(figsize=_INCHES, facecolor="white", layout="constrained")
    rows = -(-len(trends) // _COLUMNS)
    minutes = [each.seconds / 60 for each in samples]
    for axes, trend in zip(drawing.subplots(rows, _COLUMNS, sharex=True).flat, trends, strict=False):
        values = [getattr(each, trend.name) for each in samples]
        axes.plot(minutes, values, color=_FLAT if trend.is_flat else _GROWING)
        axes.axvline(after_warm_up(samples)[0].seconds / 60, color=_INK, linewidth=0.5)
        axes.set_title(f"{trend.name}: {trend.level:.0f}, {trend.growth:+.1f}", fontsize=9, loc="left")
        axes.set_ylim(0, 1.2 * max(values) + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    drawing.supxlabel("minutes; the line marks the end of the warm-up", fontsize=9)
    drawing.savefig(path, format="svg", metadata={"Date": None})
