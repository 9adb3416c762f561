"""The SQL of summaries: the outlines of pages, and the rows that look like all rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import BigInteger, Integer, bindparam, text

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.storage.chart_chunks import SequenceRange
from sprocket_grpc.storage.chart_pages import PageKey
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.types import Identifier
from sprocket_grpc.storage.tables import factory

Entry: TypeAlias = Sequence[int]
"""An entry: its sequence, time in microseconds since 1970, goal and actual."""


ENTRIES_OF_PART = 6
"""The most entries that a summary has of each part of the time."""


class Parts(NamedTuple):
    """Equal parts of a time, numbered from 1.

    Attributes:
        begin: When the time begins, in microseconds since 1970; what is earlier belongs to the first part.
        end: The last moment of the time.
        number: How many parts there are.
    """

    begin: int
    end: int
    number: int

    def part_of(self, micros: int) -> int:
        """Return the part of a moment, as width_bucket of PostgreSQL does."""
        share = max(micros - self.begin, 0) / (max(self.end - self.begin, 0) + 1)
        return min(int(self.number * share) + 1, self.number)


class Outline(NamedTuple):
    """The entries of a page that summaries need, if the page is within one part.

    Attributes:
        key: The page.
        first_sequence: The sequence of its first entry.
        entries: The first and the last entry, and those with the least and the greatest numbers.
    """

    key: PageKey
    first_sequence: int
    entries: Sequence[Entry]


class Outlines(NamedTuple):
    """What a summary is made from.

    Attributes:
        pages: The outlines of the pages of the range, also of those at its ends.
        entries: Of the rows of each part those that the summary needs.
    """

    pages: Sequence[Outline]
    entries: Sequence[Entry]


# The array is made once. As a subquery of IN, the parts were made again for every row where the statistics were those
# of an empty table: 10,000 rows then took longer than the limit of 10 s.
_OUTLINES = text("""
    WITH parts AS (
        SELECT min(sequence) AS first, max(sequence) AS last,
               min(ARRAY[sprocket_production_goal, sequence]) AS least_goal,
               max(ARRAY[sprocket_production_goal, -sequence]) AS greatest_goal,
               min(ARRAY[sprocket_production_actual, sequence]) AS least_actual,
               max(ARRAY[sprocket_production_actual, -sequence]) AS greatest_actual
        FROM chart_entry
        WHERE factory_id = :factory_id AND sequence > :after AND sequence <= :upto
        GROUP BY least(:parts, width_bucket(greatest(time_micros - :begin, 0),
                                            0, greatest(CAST(:end AS bigint) - :begin, 0) + 1, :parts))
    ), chosen AS (
        SELECT unnest(ARRAY[
            first, last, least_goal[2], -greatest_goal[2], least_actual[2], -greatest_actual[2]
        ]) AS sequence FROM parts
    )
    SELECT last_sequence, first_sequence, outline FROM chart_page
    WHERE factory_id = :factory_id AND last_sequence > :after AND first_sequence <= :upto
  UNION ALL
    SELECT NULL, NULL, array_agg(ARRAY[sequence, time_micros, sprocket_production_goal, sprocket_production_actual])
    FROM chart_entry
    WHERE factory_id = :factory_id AND sequence = ANY (ARRAY(SELECT sequence FROM chosen))
""").bindparams(
    bindparam("factory_id", type_=Identifier()),
    bindparam("after", type_=BigInteger),
    bindparam("upto", type_=BigInteger),
    bindparam("begin", type_=BigInteger),
    bindparam("end", type_=BigInteger),
    bindparam("parts", type_=Integer),
)


def read_outlines(sequences: SequenceRange, parts: Parts) -> Read[Outlines]:
    """Read the outlines of the pages of a range, and of its rows those that look like all of them.

    Of the rows of each part these are the first and the last, and those with the least and the greatest goal and
    actual, the earliest of each.

    Raises:
        NotFoundError: The factory was deleted meanwhile.
    """
    parameters = sequences._asdict() | {"begin": parts.begin, "end": parts.end, "parts": parts.number}

    def outlines(rows: Sequence[tuple[Any, ...]]) -> Outlines:
        pages = [
            Outline(PageKey(sequences.factory_id, last), first, entries)
            for last, first, entries in rows
            if last is not None
        ]
        [entries] = [entries for last, _, entries in rows if last is None]
        if not pages and not entries:
            raise NotFoundError(factory.name, sequences.factory_id)
        return Outlines(pages, entries or [])

    return Read(_OUTLINES, parameters, outlines, is_expensive=True)
