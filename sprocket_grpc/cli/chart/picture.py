"""Draws a chart for a report, as SVG or PNG, with matplotlib."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprocket_grpc.cli.chart.chart import Drawing, Entry, expired_note
from sprocket_grpc.cli.chart.fonts import WEIGHT, families_for
from sprocket_grpc.cli.chart.svg import complete
from sprocket_grpc.cli.chart.ticks import time_ticks
from sprocket_grpc.cli.client.errors import missing_library
from sprocket_grpc.cli.client.output import printable, warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Without date and version of matplotlib, so that the same chart always makes the same file.
_METADATA: dict[str, dict[str, str | None]] = {
    ".svg": {"Date": None, "Creator": "sprocket-grpc"},
    ".png": {"Software": None},
}
SUFFIXES = tuple(_METADATA)

# From the palette by Okabe and Ito, which people with any colour vision can tell apart; the goal is dashed as well.
_ACTUAL_COLOUR, _GOAL_COLOUR = "#0072B2", "#D55E00"
_INK, _PALE_INK, _GRID, _PAPER = "#1f2328", "#59636e", "#e4e7eb", "#ffffff"
_DARK = {
    _ACTUAL_COLOUR: "#56b4e9",
    _GOAL_COLOUR: "#e69f00",
    _INK: "#e6edf3",
    _PALE_INK: "#9198a1",
    _GRID: "#30363d",
    _PAPER: "#0d1117",
}
"""The colours of an SVG on a dark page, from the same palette. A PNG is light."""

_SIZE_INCHES = (9.6, 4.8)
_DOTS_PER_INCH = 160
_LONG_TITLE = 40
_MOST_TIMES = 9
_AXES_POINTS, _LINE_POINTS = 220, 13
"""About the height of the axes, and that of a line of text."""

_MISSING = "Glyph"
"""What matplotlib's warning about a character without a font begins with."""

_STYLE: dict[Any, object] = {
    # An opaque background, so that the picture is readable on any page.
    "savefig.facecolor": _PAPER,
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
    import matplotlib as mpl  # noqa: PLC0415  # an extra, needed only for pictures

    title, kind = printable(drawing.title), path.suffix.lower()
    with mpl.rc_context(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | {"font.family": families_for(title)})
        picture = BytesIO()
        _figure(title, drawing).savefig(picture, format=kind[1:], metadata=_METADATA[kind])
    if kind == ".svg":
        svg = complete(picture.getvalue().decode(), f"Production of {title}", _description(drawing), _DARK)
        path.write_text(svg, encoding="utf-8", newline="\n")
        return
    path.write_bytes(picture.getvalue())
    if any(_MISSING in str(each.message) for each in warned):
        warn("no installed font has all characters of the name; a font such as Noto Sans CJK or Noto Emoji adds them")


def _figure(title: str, drawing: Drawing) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, drawing)
    _add_texts(axes, title, drawing)
    _set_axes(axes, drawing)
    _label_ends(axes, drawing.chart.last)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _description(drawing: Drawing) -> str:
    chart = drawing.chart
    goals, actuals = (f"from {min(each):,} to {max(each):,}" for each in (chart.goal, chart.actual))
    return f"Goal {goals}, actual {actuals}. Latest: {drawing.headline}."


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
        if any(chosen):  # the legend names only what is there
            axes.fill_between(positions, goal, actual, where=chosen, color=colour, alpha=0.13, linewidth=0, label=name)


def _label_ends(axes: "Axes", last: Entry) -> None:
    """Write the latest values beside the ends of the curves, one above the other where they are close."""
    if last.goal == last.actual:
        _label(axes, last.actual, f"{last.actual:,} both", _INK, 0)
        return
    low, high = axes.get_ylim()
    distance = abs(last.goal - last.actual) / (high - low) * _AXES_POINTS
    apart = max(0.0, (_LINE_POINTS - distance) / 2) * (1 if last.actual > last.goal else -1)
    _label(axes, last.actual, f"{last.actual:,} actual", _ACTUAL_COLOUR, apart)
    _label(axes, last.goal, f"{last.goal:,} goal", _GOAL_COLOUR, -apart)


def _label(axes: "Axes", value: int, text: str, colour: str, up_points: float) -> None:
    axes.annotate(
        text,
        (1, value),
        (6, up_points),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=colour,
        fontweight="bold",
        va="center",
    )


def _add_texts(axes: "Axes", title: str, drawing: Drawing) -> None:
    size = 14 if len(title) <= _LONG_TITLE else 10
    text = axes.set_title(title, loc="left", fontsize=size, fontweight=WEIGHT, pad=28)
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
