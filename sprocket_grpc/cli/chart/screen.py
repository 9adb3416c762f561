"""Where a drawing is shown: a terminal with its abilities, or a pipe with none."""

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
# For what follows a drawing: how it stands, or a prompt.
_LINES_LEFT = 2

# Without wrapping, a line that is too long would not push the others down.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_ERASED_LINE = "\x1b[2K"
_REST = "\x1b[J"


def is_terminal() -> bool:
    """Whether a person watches, on something that can redraw."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def canvas() -> Canvas:
    """Return what can be drawn on now, for a terminal may be resized."""
    ascii_only = not _shows_more_than_ascii()
    if not is_terminal():
        return Canvas(ascii_only=ascii_only)
    size = shutil.get_terminal_size()
    lines = min(size.lines - _LINES_LEFT, _TALLEST_LINES)
    colour = not os.environ.get("NO_COLOR")
    return Canvas(max(size.columns, SMALLEST_COLUMNS), max(lines, SMALLEST_LINES), colour, ascii_only)


def show(lines: list[str]) -> None:
    """Print a drawing once."""
    click.echo("\n".join(lines))


def redraw(lines: list[str]) -> None:
    """Draw over what `drawn_over` shows, without flicker: in one write, and clearing only what is left over."""
    sys.stdout.write(_HOME + "\n".join(f"{_ERASED_LINE}{line}" for line in lines) + _REST)
    sys.stdout.flush()


@contextmanager
def drawn_over() -> Iterator[None]:
    """Use the terminal's second screen, and give the first one back as it was, whatever happens."""
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


def _shows_more_than_ascii() -> bool:
    try:
        "▄│·".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
