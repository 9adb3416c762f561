"""The rows of an answer; many of them are converted when they are used."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

from psycopg.abc import Transformer
from psycopg.pq.abc import PGresult

FEW = 200
"""The most rows that are converted at once, in 30 us."""


def rows_of(answer: PGresult, transformer: Transformer) -> Sequence[tuple[Any, ...]]:
    """Return the rows of an answer. Other answers may use the transformer meanwhile."""
    if answer.ntuples > FEW:
        return LazyRows(answer, transformer, range(answer.ntuples))
    transformer.set_pgresult(answer)
    return transformer.load_rows(0, answer.ntuples, tuple)


class LazyRows(Sequence[tuple[Any, ...]]):
    """Rows that stay in libpq's memory until they are used.

    A page of 1,000 has 8,000 objects of Python. While many pages wait for their turn, the garbage collector would look
    at them again and again, and the cache of the processor would not have them any more when they are used: a page took
    1.2 times the CPU.
    """

    def __init__(self, answer: PGresult, transformer: Transformer, numbers: range) -> None:
        self._answer = answer
        self._transformer = transformer
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for first in range(0, len(self), FEW):
            yield from self._load(self._numbers[first : first + FEW])

    @overload
    def __getitem__(self, key: int) -> tuple[Any, ...]: ...

    @overload
    def __getitem__(self, key: slice) -> "LazyRows": ...

    def __getitem__(self, key: int | slice) -> "tuple[Any, ...] | LazyRows":
        if isinstance(key, slice):
            return LazyRows(self._answer, self._transformer, self._numbers[key])
        number = self._numbers[key]
        return self._load(range(number, number + 1))[0]

    def _load(self, numbers: range) -> list[tuple[Any, ...]]:
        self._transformer.set_pgresult(self._answer)
        first, last = sorted((numbers[0], numbers[-1]))
        return self._transformer.load_rows(first, last + 1, tuple)[:: numbers.step]
