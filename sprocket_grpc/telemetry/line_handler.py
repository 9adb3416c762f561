"""Writes log lines, batching those that are logged within 20 ms.

Every write releases the GIL. With a write per call, gRPC's threads and ours would alternate, which costs more than
formatting the line: 10 % of a point read on a machine with a free core, nothing on a busy one (docs/performance.md).
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from select import PIPE_BUF
from threading import get_ident

WITHIN_SECONDS = 0.02
"""How long a line waits for others at most. Warnings and errors are written immediately, and all lines at exit."""


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """Writes lines to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[str] = []
        self._writer: asyncio.AbstractEventLoop | None = None
        self._writer_thread = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line. Warnings, errors, and lines outside an event loop are written immediately."""
        try:
            self._waiting.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING or not self._is_written_soon():
                self.flush()
        except Exception:  # like every logging handler: an error must not reach the code that logs
            self.handleError(record)

    def _is_written_soon(self) -> bool:
        if self._writer and self._writer_thread == get_ident() and not self._writer.is_closed():
            return True  # a faster answer than the lines below give
        loop = _running_loop()
        if loop:
            self._writer, self._writer_thread = loop, get_ident()
            loop.call_later(WITHIN_SECONDS, self.flush)
        return loop is not None

    def flush(self) -> None:
        """Write the queued lines."""
        self.acquire()
        try:
            lines, self._waiting, self._writer = self._waiting, [], None
            for batch in _batches(lines):
                self.stream.write(batch)
                self.stream.flush()
        except OSError:
            pass  # standard error is closed
        finally:
            self.release()


def _batches(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into batches of at most PIPE_BUF bytes, whose write to a pipe is atomic (pipe(7))."""
    batch: list[str] = []
    room = PIPE_BUF
    for line in lines:
        size = len(line) if line.isascii() else len(line.encode())
        if batch and size > room:
            yield "".join(batch)
            batch, room = [], PIPE_BUF
        batch.append(line)
        room -= size
    if batch:
        yield "".join(batch)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
