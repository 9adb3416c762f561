"""Group commit: calls for one key that arrive while a commit runs share the next one."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Outcome: TypeAlias = Exception | None
"""Why an item failed, or None if it succeeded."""


class Item(Protocol):
    """The work of a call."""

    @property
    def identity(self) -> Hashable:
        """Items with the same identity are never in one batch: the second waits for the next."""


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Item)


@dataclass(eq=False)
class _Waiting(Generic[T]):
    """A call that waits for the batch of its item.

    Attributes:
        item: Its item.
        context: The context variables of the call.
        done: Completes with the outcome; cancelled if the call was cancelled.
        batch: Its batch, once it is in one.
    """

    item: T
    context: Context = field(default_factory=copy_context)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    batch: "_Batch[T] | None" = None


@dataclass(eq=False)
class _Batch(Generic[T]):
    """Items that run together.

    Attributes:
        calls: The calls of its items.
        task: Runs them.
        present: The number of calls that still wait.
    """

    calls: Sequence[_Waiting[T]]
    task: asyncio.Task[Sequence[Outcome]]
    present: int

    def leave(self) -> None:
        """Note that a call was cancelled. The batch is cancelled when all its calls are."""
        self.present -= 1
        if not self.present:
            self.task.cancel()

    def settle(self) -> None:
        """Complete each waiting call with the outcome of its item, or with the error of the batch."""
        if self.task.cancelled():  # all its calls were cancelled, or the server ends
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
    """Runs items in batches: one batch at a time per key, independent of other keys.

    The item of a call that finds its key idle runs immediately, in the call itself. Items that arrive while their key
    is busy wait without a connection, and run in one batch as soon as the running one has ended; there is no timer. A
    call that is cancelled while its item waits withdraws the item. Once its batch runs, a cancelled call leaves it, and
    the item still runs for the others; the batch is cancelled only when all its calls are.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[Outcome]]], *, largest_batch: int
    ) -> None:
        """Make one.

        Args:
            work: Runs items of one key, and returns the outcome of each. It runs in the context of a call, which is the
                call of the item if there is only one.
            largest_batch: The most items of a batch, so that no transaction is long. The rest is in the next batch.
        """
        self._work = work
        self._largest_batch = largest_batch
        self._collected: dict[K, dict[_Waiting[T], None]] = {}  # has the keys that are busy; in order
        self._batches: set[_Batch[T]] = set()

    def is_busy(self, key: K) -> bool:
        """Whether an item or a batch of a key runs."""
        return key in self._collected

    async def run(self, key: K, item: T) -> None:
        """Run an item, alone or in a batch.

        Raises:
            Exception: The outcome of the item, if it failed.
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
        self._go_on(key)  # first, so that the database works while the responses are sent
        batch.settle()

    def _take(self, collected: dict[_Waiting[T], None]) -> list[_Waiting[T]]:
        batch: dict[Hashable, _Waiting[T]] = {}
        for call in collected:
            batch.setdefault(call.item.identity, call)
            if len(batch) == self._largest_batch:
                break
        for call in batch.values():
            del collected[call]
        return list(batch.values())
