"""Writes log lines: those that come within a moment in one go.

A write lets go of the interpreter, so that with one for each call gRPC's threads and ours take turns: that costs more
than making the line does.
"""

import asyncio
import logging

WITHIN_SECONDS = 0.02
"""How long a line waits for others at most. What warns waits for nothing, and nothing does once the process ends."""


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """Sends lines to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[str] = []
        self._writer: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, and have it written soon; at once if it warns, or if there is no event loop to do it later."""
        try:
            self._waiting.append(self.format(record) + self.terminator)
            loop = _running_loop()
            if loop is None or record.levelno >= logging.WARNING:
                self.flush()
            elif self._writer is not loop:
                self._writer = loop
                loop.call_later(WITHIN_SECONDS, self.flush)
        except Exception:  # as all handlers of logging do: it must not end what logs
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            lines, self._waiting, self._writer = self._waiting, [], None
            self.stream.write("".join(lines))
            self.stream.flush()
        except OSError:
            pass  # nobody reads it any more
        finally:
            self.release()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
