"""Draws a chart for a report, as SVG or PNG, with matplotlib."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprocket_grpc.cli.chart.chart import Drawing, expired_note
from sprocket_grpc.cli.chart.ticks import time_ticks
from sprocket_grpc.cli.client.errors import missing_library
from sprocket_grpc.cli.client.output import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Without date and version of matplotlib, so that the same chart always makes the same file.
_METADATA: dict[str, dict[str, str | None]] = {
    ".svg": {"Date": None, "Creator": "sprocket-grpc"},
    ".png": {"Software": None},
}
SUFFIXES = tuple(_METADATA)

# From the palette by Okabe and Ito, which people with any colour vision can tell apart; the goal is dashed as well.
_ACTUAL_COLOUR, _GOAL_COLOUR = "#0072B2", "#D55E00"
_INK, _PALE_INK, _GRID = "#1f2328", "#59636e", "#e4e7eb"

_SIZE_INCHES = (9.6, 4.8)
_DOTS_PER_INCH = 160
_LONG_TITLE = 40
_MOST_TIMES = 9

_STYLE: dict[Any, object] = {
    # An opaque background, so that the picture is readable on a dark page too.
    "savefig.facecolor": "white",
    "savefig.dpi": _DOTS_PER_INCH,
    "figure.constrained_layout.w_pad": 0.15,
    "figure.constrained_layout.h_pad": 0.1,
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _PALE_INK,
    "xtick.color": _PALE_INK,
    "ytick.color": _PALE_INK,
    "axes.edgecolor": _PALE_INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    # Text stays text, which can be searched and read aloud. A fixed salt makes the ids reproducible.
    "svg.fonttype": "none",
    "svg.hashsalt": "sprocket-grpc",
    "timezone": "UTC",
}


def check_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        ClientError: It is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401, PLC0415  # an extra, needed only for pictures
    except ImportError as error:
        raise missing_library("matplotlib") from error


def write_picture(path: Path, drawing: Drawing) -> None:
    """Write a drawing to a file, in the format of its suffix.

    Raises:
        OSError: The file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415  # as above
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(), warnings.catch_warnings():
        # Characters of a display name that the font lacks are drawn as boxes, without a warning.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        _draw_curves(axes, drawing)
        _add_texts(axes, drawing)
        _set_axes(axes, drawing)
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path, metadata=_METADATA[path.suffix.lower()])


def _draw_curves(axes: "Axes", drawing: Drawing) -> None:
    times, goal, actual = drawing.corners
    # Relative times, because matplotlib calculates in floats, which are exact only for small numbers.
    positions = [time - drawing.start for time in times]
    axes.plot(positions, actual, color=_ACTUAL_COLOUR, linewidth=2, label="actual")
    axes.plot(positions, goal, color=_GOAL_COLOUR, linewidth=1.6, linestyle=(0, (4, 2)), label="goal")
    for colour, name, chosen in (
        (_ACTUAL_COLOUR, "ahead", [a > g for g, a in zip(goal, actual, strict=True)]),
        (_GOAL_COLOUR, "behind", [a < g for g, a in zip(goal, actual, strict=True)]),
    ):
        axes.fill_between(positions, goal, actual, where=chosen, color=colour, alpha=0.13, linewidth=0, label=name)


def _add_texts(axes: "Axes", drawing: Drawing) -> None:
    title = printable(drawing.title)
    size = 14 if len(title) <= _LONG_TITLE else 10
    text = axes.set_title(title, loc="left", fontsize=size, fontweight="bold", pad=28)
    text.set_parse_math(False)  # a name may contain dollar signs
    axes.annotate(
        drawing.headline, (0, 1), (0, 10), xycoords="axes fraction", textcoords="offset points", color=_PALE_INK
    )
    note = "" if drawing.retained_from is None else f"; {expired_note(drawing.retained_from)}"
    axes.set_xlabel(drawing.time_label + note)
    axes.set_ylabel("sprockets")


def _set_axes(axes: "Axes", drawing: Drawing) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter  # noqa: PLC0415  # as above

    ticks = time_ticks(drawing.start, drawing.end, _MOST_TIMES)
    axes.set_xticks([time - drawing.start for time, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(0, drawing.end - drawing.start)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(y=0.08)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
