"""Draws a chart in characters, with plotext, which is maintained, has no dependencies, and can draw without colours."""

from dataclasses import dataclass
from textwrap import wrap
from types import ModuleType

import click

from sprocket_grpc.cli.chart.chart import Chart, Drawing
from sprocket_grpc.cli.chart.ticks import number_ticks, time_ticks
from sprocket_grpc.cli.client.errors import missing_library
from sprocket_grpc.cli.client.output import printable

SMALLEST_COLUMNS, SMALLEST_LINES = 30, 12

_FEWEST_PLOT_LINES = 8
_COLUMNS_OF_A_LABEL = 14
_COLUMNS_OF_A_LEGEND = 50
_LINES_OF_A_LABEL = 3

# Replaces the frame and the ticks, for terminals and files that support only ASCII.
_ASCII = str.maketrans("│─┌┐└┘┤┬├┴┼·…━", "|-+++++++++..=")


@dataclass(frozen=True)
class Canvas:
    """The size and the abilities of the output.

    Attributes:
        columns: The width.
        lines: The height.
        colour: Whether colours are shown.
        ascii_only: Whether only ASCII is shown.
    """

    columns: int = 80
    lines: int = 24
    colour: bool = False
    ascii_only: bool = False


@dataclass(frozen=True)
class _Curve:
    name: str
    marker: str
    ascii_marker: str
    sample: str
    ascii_sample: str
    colour: int


# The markers tell the curves apart without colours. 2, 3 and 6 are green, dark yellow and cyan in the terminal's
# palette. The actual is drawn after the goal and lies on top; where they are equal, both lie under a third curve.
_GOAL = _Curve("goal", "·", ".", "····", "....", 3)
_ACTUAL = _Curve("actual", "hd", "#", "▄▄▄▄", "####", 6)
_BOTH = _Curve("both", "━", "=", "━━━━", "====", 2)


def load_plotext() -> ModuleType:
    """Import plotext.

    Raises:
        ClientError: It is not installed.
    """
    try:
        import plotext  # noqa: PLC0415  # an extra, needed only for drawings
    except ImportError as error:
        raise missing_library("plotext") from error
    module: ModuleType = plotext
    return module


def draw(drawing: Drawing, canvas: Canvas) -> list[str]:
    """Return the lines of a drawing, with the latest values above it."""
    above = [
        *(_styled(line, canvas, bold=True) for line in wrap(printable(drawing.title), canvas.columns)),
        *wrap(drawing.headline, canvas.columns),
        _legend(drawing.chart, canvas),
    ]
    below = [line.center(canvas.columns).rstrip() for line in wrap(drawing.time_label, canvas.columns)]
    height = max(_FEWEST_PLOT_LINES, canvas.lines - len(above) - len(below))
    lines = [*above, *_plot(drawing, canvas, height), *below]
    return [line.translate(_ASCII) for line in lines] if canvas.ascii_only else lines


def _plot(drawing: Drawing, canvas: Canvas, height: int) -> list[str]:
    plotext = load_plotext()
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(canvas.columns, height)
    figure.legend(active=False)  # it would cover the curves
    # plotext's time and memory grow with the length of all lines, so it gets no more than is visible.
    visible = drawing.downsampled(canvas.columns)
    times, goal, actual = visible.corners
    _add(plotext, _GOAL, (times, goal), canvas)
    _add(plotext, _ACTUAL, (times, actual), canvas)
    for together in visible.coinciding:
        _add(plotext, _BOTH, together, canvas)
    _set_axes(plotext, drawing, canvas)
    return [line.rstrip() for line in figure.build().string(colorless=not canvas.colour).splitlines() if line.strip()]


def _add(plotext: ModuleType, curve: _Curve, points: tuple[list[int], list[int]], canvas: Canvas) -> None:
    colour = plotext.pixel(foreground=curve.colour) if canvas.colour else plotext.pixel()
    marker = curve.ascii_marker if canvas.ascii_only else curve.marker
    signal = plotext.figure.signal(*points, marker=plotext.marker(marker, colour))
    signal.lines()
    plotext.figure.draw(signal)


def _set_axes(plotext: ModuleType, drawing: Drawing, canvas: Canvas) -> None:
    low, high = _bounds(drawing.chart)
    numbers = number_ticks(low, high, max(2, canvas.lines // _LINES_OF_A_LABEL))
    margin = max(0.5, (high - low) / 20)
    figure = plotext.figure
    figure.ruler("y", "left").lim(low - margin, high + margin).ticks(numbers, [f"{each:,}" for each in numbers])
    times = time_ticks(drawing.start, drawing.end, max(2, canvas.columns // _COLUMNS_OF_A_LABEL))
    ruler = figure.ruler("x", "lower").lim(drawing.start, drawing.end)
    ruler.ticks([time for time, _ in times], [label for _, label in times])


def _bounds(chart: Chart) -> tuple[int, int]:
    return min(*chart.goal, *chart.actual), max(*chart.goal, *chart.actual)


def _legend(chart: Chart, canvas: Canvas) -> str:
    """Return the curves that are drawn, with the unit where there is room."""
    are_equal = any(goal == actual for goal, actual in zip(chart.goal, chart.actual, strict=True))
    curves = [_ACTUAL, _GOAL, *([_BOTH] if are_equal else [])]
    is_narrow = canvas.columns < _COLUMNS_OF_A_LEGEND
    parts = [] if is_narrow else ["sprockets"]
    for curve in curves:
        sample = (curve.ascii_sample if canvas.ascii_only else curve.sample)[: 1 if is_narrow else None]
        parts.append(f"{_styled(sample, canvas, colour=curve.colour)} {curve.name}")
    return ("  " if is_narrow else "   ").join(parts)


def _styled(text: str, canvas: Canvas, *, colour: int | None = None, bold: bool = False) -> str:
    return click.style(text, fg=colour, bold=bold or None) if canvas.colour else text
