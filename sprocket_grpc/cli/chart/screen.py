"""Shows drawings on standard output: a terminal, or a pipe."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from sprocket_grpc.cli.chart.terminal import SMALLEST_COLUMNS, SMALLEST_LINES, Canvas

_TALLEST_LINES = 40
# Left free below a drawing, for the status line or the prompt.
_FREE_LINES = 2

# Alternate screen, hidden cursor, no line wrapping: a line that is too long must not move the others down.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_ERASED_LINE = "\x1b[2K"
_REST = "\x1b[J"
_GLYPHS = "▖▗▘▙▚▛▜▝▞▟▀▄▌▐█│─┌┐└┘┤┬├┴┼·…━"
"""What drawings consist of. Some encodings, such as cp437, have only a part of it."""


def is_terminal() -> bool:
    """Whether standard output is a terminal that can be redrawn."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def canvas() -> Canvas:
    """Return the present size and abilities of the output; a terminal may have been resized."""
    ascii_only = not _shows_unicode()
    if not is_terminal():
        return Canvas(ascii_only=ascii_only)
    size = shutil.get_terminal_size()
    lines = min(size.lines - _FREE_LINES, _TALLEST_LINES)
    colour = not os.environ.get("NO_COLOR")
    return Canvas(max(size.columns, SMALLEST_COLUMNS), max(lines, SMALLEST_LINES), colour, ascii_only)


def show(lines: list[str]) -> None:
    """Print a drawing."""
    click.echo("\n".join(lines))


def redraw(lines: list[str]) -> None:
    """Redraw the alternate screen in one write, which avoids flicker, and clear what is left of the last drawing."""
    sys.stdout.write(_HOME + "\n".join(f"{_ERASED_LINE}{line}" for line in lines) + _REST)
    sys.stdout.flush()


@contextmanager
def alternate_screen() -> Iterator[None]:
    """Use the terminal's alternate screen until the block ends, also by an error or SIGTERM."""
    before = signal.signal(signal.SIGTERM, _end)
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _shows_unicode() -> bool:
    try:
        _GLYPHS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
