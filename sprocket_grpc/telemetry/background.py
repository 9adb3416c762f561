"""Runs background tasks: one that fails, ends or hangs is restarted, logged and counted."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any

_SHORTEST_PAUSE_SECONDS = 1
_LONGEST_PAUSE_SECONDS = 60

_log = logging.getLogger(__name__)


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A task that runs in rounds, one after the other.

    Attributes:
        name: Its name in the log and in metrics.
        run_round: Runs one round, with the pause before or after it.
        limit_seconds: The time after which a round hangs. None for a task of a single round, which never ends.
        is_needed: Called before each round; the task ends when it is not needed any more.
    """

    name: str
    run_round: Callable[[], Coroutine[Any, Any, None]]
    limit_seconds: float | None = None
    is_needed: Callable[[], bool] = _always


class Background:
    """Supervises the background tasks of a process.

    Attributes:
        restarts: The number of restarts of each task since the start, by name.
    """

    def __init__(self) -> None:
        self.restarts: Counter[str] = Counter()
        self._rounds: set[asyncio.Task[None]] = set()

    @property
    def rounds(self) -> frozenset[asyncio.Task[None]]:
        """The rounds that are running, including those that were abandoned."""
        return frozenset(self._rounds)

    async def keep(self, task: BackgroundTask) -> None:
        """Run a task until it is not needed any more, or until cancelled.

        After a failure it pauses for a second, and after each further one twice as long, up to a minute.
        """
        self.restarts.setdefault(task.name, 0)  # so that the metric has the task from the start
        pause = _SHORTEST_PAUSE_SECONDS
        while task.is_needed():
            if await self._run_round(task):
                pause = _SHORTEST_PAUSE_SECONDS
                continue
            self.restarts[task.name] += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _run_round(self, task: BackgroundTask) -> bool:
        """Run a round, and return whether it succeeded. One that hangs is cancelled, but not waited for."""
        # In a context of its own, or its log lines would have the request id of the call that started it.
        running = asyncio.create_task(task.run_round(), name=task.name, context=Context())
        self._rounds.add(running)  # the event loop has weak references only
        running.add_done_callback(self._discard)
        try:
            await _wait(running, task.limit_seconds)
        finally:
            running.cancel()
        if not running.done():
            _log.error("background task %s did not finish within %g s; restarting it", task.name, task.limit_seconds)
        elif error := _error_of(running):
            _log.error("background task %s failed; restarting it", task.name, exc_info=error)
        elif task.limit_seconds is None:
            _log.error("background task %s ended; restarting it", task.name)
        else:
            return True
        return False

    def _discard(self, running: asyncio.Task[None]) -> None:
        self._rounds.discard(running)
        _error_of(running)  # one that was given up may still fail, which is no error of its own


async def _wait(running: asyncio.Task[None], limit_seconds: float | None) -> None:
    """Wait for a round, in two halves: after the whole process was stopped for a time, a round gets the second one."""
    half = None if limit_seconds is None else limit_seconds / 2
    for _ in range(2):
        await asyncio.wait({running}, timeout=half)


def _error_of(running: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError() if running.cancelled() else running.exception()
