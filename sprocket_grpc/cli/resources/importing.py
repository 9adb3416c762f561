"""Writes the lines of a file so that a repeated import writes nothing twice."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, repeat
from typing import NamedTuple

from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.import_batch import Batch, BatchWriter, Outcome, Plan
from sprocket_grpc.cli.resources.reading import Line

# Part of the request_ids: with another batch size, a repeated import would write everything a second time.
_BATCH = 500

# A server has 10 connections to its database by default, and writes take all of its CPU: more bring nothing.
_MOST_BATCHES_IN_FLIGHT = 4
_MOST_LINES_IN_FLIGHT = 32


class _Begun(NamedTuple):
    """A batch that is in flight, or done.

    Attributes:
        batch: The batch.
        future: Its outcome.
    """

    batch: Batch
    future: Future[Outcome]


class Importer:
    """Imports lines into one server."""

    def __init__(self, caller: Caller, plan: Plan) -> None:
        self._plan = plan
        self._writer = BatchWriter(caller, plan)

    def run(self, lines: Iterable[Line]) -> Iterator[Outcome]:
        """Write lines, and yield the outcomes of their batches in order.

        Several batches are in flight: the next one begins when the first of them is done. A plan that stops begins none
        after the first one with refused lines. The batches that have begun by then are the same in every import of a
        file, so a repeated one stops at the same place.

        Raises:
            ClientError: A call failed for a reason that is not in the lines.
        """
        pool, batches, begun = ThreadPoolExecutor(self._most_in_flight), self._batches(lines), deque[_Begun]()
        try:
            for most in self._numbers_in_flight():
                for batch in islice(batches, most - len(begun)):
                    begun.append(_Begun(batch, pool.submit(self._writer.write, batch, isolates=not self._plan.stops)))
                if not begun:
                    return
                if begun[0].future.result().refusals and self._plan.stops:
                    yield from self._last(begun)
                    return
                yield begun.popleft().future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # closing the channel cancels the calls in flight

    @property
    def _most_in_flight(self) -> int:
        if self._plan.is_batched:
            return _MOST_BATCHES_IN_FLIGHT
        return 1 if self._plan.stops else _MOST_LINES_IN_FLIGHT  # with ids, a later line may overwrite an earlier one

    def _numbers_in_flight(self) -> Iterable[int]:
        """Return how many batches are in flight, one after the other: of a file that is all wrong, only one is sent."""
        return chain(range(1, self._most_in_flight), repeat(self._most_in_flight))

    def _last(self, begun: Collection[_Begun]) -> Iterator[Outcome]:
        """Yield the outcomes of the batches that were in flight, up to the last one that is written.

        The others before it are written too, without their refused lines. The ones after it are refused, and are left
        for the next import like those that have not begun.
        """
        outcomes = [each.future.result() for each in begun]
        last = max((index for index, outcome in enumerate(outcomes) if outcome.is_written), default=0)
        for each, outcome in islice(zip(begun, outcomes, strict=True), last):
            yield outcome if outcome.is_written else self._writer.write(each.batch, isolates=True)
        yield outcomes[last]

    def _batches(self, lines: Iterable[Line]) -> Iterator[Batch]:
        size = _BATCH if self._plan.is_batched else 1
        rest, position = iter(lines), 0
        while batch := list(islice(rest, size)):
            yield Batch(position, batch)
            position += len(batch)
