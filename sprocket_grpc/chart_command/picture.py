"""Draws a chart for a report, as SVG or PNG, with matplotlib."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprocket_grpc.chart_command.chart import Drawing
from sprocket_grpc.chart_command.errors import missing_library
from sprocket_grpc.chart_command.text import printable
from sprocket_grpc.chart_command.times import DAY, for_people

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")

# Of the palette by Okabe and Ito, which people see apart whatever colours they see; and one is dashed.
_ACTUAL_COLOUR, _GOAL_COLOUR = "#0072B2", "#D55E00"
_INK, _PALE_INK, _GRID = "#1f2328", "#59636e", "#e4e7eb"

_SIZE_INCHES = (9.6, 4.8)
_DOTS_PER_INCH = 160

_STYLE: dict[Any, object] = {
    # A background of its own, so that it can be read on a dark page as well.
    "savefig.facecolor": "white",
    "savefig.dpi": _DOTS_PER_INCH,
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _PALE_INK,
    "xtick.color": _PALE_INK,
    "ytick.color": _PALE_INK,
    "axes.edgecolor": _PALE_INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    # Text stays text: it can be searched and read aloud. The ids are the same every time.
    "svg.fonttype": "none",
    "svg.hashsalt": "sprocket-grpc",
    "timezone": "UTC",
}


def check_matplotlib() -> None:
    """Make sure that pictures can be drawn.

    Raises:
        ChartError: It is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401, PLC0415  # an extra, and only pictures need it
    except ImportError as error:
        raise missing_library("matplotlib") from error


def write_picture(path: Path, drawing: Drawing) -> None:
    """Draw into a file, in the format that its suffix says.

    Raises:
        OSError: The file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415  # as above
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(), warnings.catch_warnings():
        # A display name may have characters that are not in the font; the rest of it can still be read.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        _curves(axes, drawing)
        _words(axes, drawing)
        _rule(axes, drawing)
        date, program = ({"Date": None}, {"Creator": "sprocket-grpc"}) if path.suffix.lower() == ".svg" else ({}, {})
        figure.savefig(path, metadata={**date, **program} or {"Software": None})


def _curves(axes: "Axes", drawing: Drawing) -> None:
    chart = drawing.chart
    times = _positions([*chart.time_micros, drawing.end])
    goal, actual = [*chart.goal, chart.goal[-1]], [*chart.actual, chart.actual[-1]]
    _shade(axes, times, goal, actual)
    axes.step(times, actual, where="post", color=_ACTUAL_COLOUR, linewidth=2, label="actual")
    axes.step(times, goal, where="post", color=_GOAL_COLOUR, linewidth=1.6, linestyle=(0, (4, 2)), label="goal")


def _shade(axes: "Axes", times: list[float], goal: list[int], actual: list[int]) -> None:
    for colour, name, chosen in (
        (_ACTUAL_COLOUR, "ahead", [a > g for g, a in zip(goal, actual, strict=True)]),
        (_GOAL_COLOUR, "behind", [a < g for g, a in zip(goal, actual, strict=True)]),
    ):
        axes.fill_between(
            times, goal, actual, where=chosen, step="post", color=colour, alpha=0.13, linewidth=0, label=name
        )


def _words(axes: "Axes", drawing: Drawing) -> None:
    last = drawing.chart.last
    title = axes.set_title(printable(drawing.title), loc="left", fontsize=14, fontweight="bold", pad=28)
    title.set_parse_math(False)  # a name may have dollars in it
    subtitle = f"{last.summary} since {for_people(last.time_micros)}"
    axes.annotate(subtitle, (0, 1), (0, 10), xycoords="axes fraction", textcoords="offset points", color=_PALE_INK)
    axes.set_xlabel("time (UTC)")
    axes.set_ylabel("sprockets")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0.4)


def _rule(axes: "Axes", drawing: Drawing) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415  # as above
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter  # noqa: PLC0415

    locator: Any = AutoDateLocator(minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlim(*_positions([drawing.start, drawing.end]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(y=0.08)
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def _positions(micros: list[int]) -> list[float]:
    """Return where times are on an axis of dates, which counts days."""
    return [each / DAY for each in micros]
