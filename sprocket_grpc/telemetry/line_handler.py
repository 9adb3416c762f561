"""Writes log lines: those that come within a moment in one go.

A write lets go of the interpreter, so that with one for each call gRPC's threads and ours take turns: that costs more
than making the line does.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from select import PIPE_BUF
from threading import get_ident

WITHIN_SECONDS = 0.02
"""How long a line waits for others at most. What warns waits for nothing, and nothing does once the process ends."""


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """Sends lines to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[str] = []
        self._writer: asyncio.AbstractEventLoop | None = None
        self._writer_thread = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, and have it written soon; at once if it warns, or if there is no event loop to do it later."""
        try:
            self._waiting.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING or not self._is_written_soon():
                self.flush()
        except Exception:  # as all handlers of logging do: it must not end what logs
            self.handleError(record)

    def _is_written_soon(self) -> bool:
        if self._writer and self._writer_thread == get_ident() and not self._writer.is_closed():
            return True  # what follows finds out the same, and takes longer
        loop = _running_loop()
        if loop:
            self._writer, self._writer_thread = loop, get_ident()
            loop.call_later(WITHIN_SECONDS, self.flush)
        return loop is not None

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            lines, self._waiting, self._writer = self._waiting, [], None
            for together in _whole(lines):
                self.stream.write(together)
                self.stream.flush()
        except OSError:
            pass  # nobody reads it any more
        finally:
            self.release()


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Put lines together, but only so many that no other process can write into the middle of them (pipe(7))."""
    together: list[str] = []
    room = PIPE_BUF
    for line in lines:
        size = len(line) if line.isascii() else len(line.encode())
        if together and size > room:
            yield "".join(together)
            together, room = [], PIPE_BUF
        together.append(line)
        room -= size
    if together:
        yield "".join(together)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
