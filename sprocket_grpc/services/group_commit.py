"""Lets calls about one thing share a commit: while one is under way, the next ones collect, and go together."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

LARGEST_BATCH = 500
"""So that no transaction is long. What is left goes with the next batch."""

Outcome: TypeAlias = Exception | None
"""Why something failed, or None if it succeeded."""


class Item(Protocol):
    """Something to be done for a call."""

    @property
    def identity(self) -> Hashable:
        """What no two items of a batch have in common: the second waits for the next batch."""


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Item)


@dataclass(eq=False)
class _Waiting(Generic[T]):
    """A call that waits for its item to be done with others.

    Attributes:
        item: What is to be done.
        context: The context variables of the call.
        done: When it was done; cancelled if the call has gone.
        batch: The batch that it is in, once it is in one.
    """

    item: T
    context: Context = field(default_factory=copy_context)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    batch: "_Batch[T] | None" = None


@dataclass(eq=False)
class _Batch(Generic[T]):
    """Items that are being done together.

    Attributes:
        calls: Whose items they are.
        task: What does them.
        present: How many of the calls still wait for it.
    """

    calls: Sequence[_Waiting[T]]
    task: asyncio.Task[Sequence[Outcome]]
    present: int

    def leave(self) -> None:
        """Take note that a call has gone: the others go on, and only when all have gone nobody wants it any more."""
        self.present -= 1
        if not self.present:
            self.task.cancel()

    def settle(self) -> None:
        """Tell each call that is still there how its own item ended; all alike if the batch failed as a whole."""
        if self.task.cancelled():  # with the whole server
            for call in self.calls:
                call.done.cancel()
            return
        error = self.task.exception()
        outcomes = [error] * len(self.calls) if error else self.task.result()
        for call, outcome in zip(self.calls, outcomes, strict=True):
            if call.done.done():
                continue
            if outcome:
                call.done.set_exception(outcome)
            else:
                call.done.set_result(None)


class GroupCommit(Generic[K, T]):
    """Does items for keys: one batch at a time for each key, while other keys neither wait nor are waited for.

    What comes alone is done at once, and by the call itself. What comes while its key is busy collects, without
    a connection, and is done in one batch as soon as the one before has ended; there is no timer. A call that is
    cancelled, also by its deadline, is as if it had never come while it collects. Once its batch is under way the
    others go on, and its own item is done with theirs.
    """

    def __init__(self, work: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[Outcome]]]) -> None:
        """Make one.

        Args:
            work: Does items of one key, at most `LARGEST_BATCH`, and returns the outcome of each. It runs in the
                context of a call, which is that of the item if there is only one.
        """
        self._work = work
        self._collected: dict[K, dict[_Waiting[T], None]] = {}  # has the keys that are busy; in order
        self._batches: set[_Batch[T]] = set()

    async def run(self, key: K, item: T) -> None:
        """Do an item, or have it done with others.

        Raises:
            Exception: What came of it.
        """
        if key in self._collected:
            await self._wait(key, item)
            return
        self._collected[key] = {}
        try:
            [outcome] = await self._work([item])
        finally:
            self._go_on(key)
        if outcome:
            raise outcome

    async def _wait(self, key: K, item: T) -> None:
        call = _Waiting(item)
        self._collected[key][call] = None
        try:
            await call.done
        except asyncio.CancelledError:
            if call.batch:
                call.batch.leave()
            else:
                del self._collected[key][call]
            raise

    def _go_on(self, key: K) -> None:
        calls = self._take(self._collected[key])
        if not calls:
            del self._collected[key]
            return
        task = asyncio.create_task(self._work([call.item for call in calls]), context=calls[0].context)
        batch = _Batch(calls, task, len(calls))
        for call in calls:
            call.batch = batch
        self._batches.add(batch)
        task.add_done_callback(partial(self._end, key, batch))

    def _end(self, key: K, batch: _Batch[T], _: object) -> None:
        self._batches.discard(batch)
        self._go_on(key)  # first, so that the database has work while the answers are sent
        batch.settle()

    def _take(self, collected: dict[_Waiting[T], None]) -> list[_Waiting[T]]:
        batch: dict[Hashable, _Waiting[T]] = {}
        for call in collected:
            batch.setdefault(call.item.identity, call)
            if len(batch) == LARGEST_BATCH:
                break
        for call in batch.values():
            del collected[call]
        return list(batch.values())
