"""The SQL that reads the entries of charts: in pages (see `chart_pages`), and the others in columns.

A statement reads both, because rows become pages at any time: read by two statements, 282 of 966 charts had a hole.
What is in pages stays there, and is read by a simpler statement.
"""

import sys
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, bindparam, select, text

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.storage.chart_pages import LARGEST_PAGE, NUMBERS, Page
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier
from sprocket_grpc.storage.tables import chart_page, factory


class SequenceRange(NamedTuple):
    """The entries of one chart whose sequences are over `after` and not over `upto`."""

    factory_id: str
    after: int
    upto: int

    @property
    def entries(self) -> int:
        """The number of its entries."""
        return self.upto - self.after


class Chunk(NamedTuple):
    """Entries of one chart: those in pages, then the others in columns.

    Attributes:
        sequences: Where they are in the chart. A summary has fewer entries than its sequences.
        time_micros: When each entry of the columns was added, in microseconds since 1970.
        sprocket_production_goal: The goal from then on.
        sprocket_production_actual: The actual from then on.
        pages: The pages. As they are stored, the first may begin before the sequences, and the last end after them.
    """

    sequences: SequenceRange
    time_micros: Sequence[int]
    sprocket_production_goal: Sequence[int]
    sprocket_production_actual: Sequence[int]
    pages: Sequence[Page] = ()

    def cut(self, sequences: SequenceRange) -> "Chunk":
        """Return the entries of a range that begins within this one and ends with it. For rows only."""
        skipped = sequences.after - self.sequences.after
        times, goals, actuals = (column[skipped:] for column in self[1:4])
        return Chunk(sequences, times, goals, actuals)


# The aggregates take the rows in the order of the subquery (PostgreSQL manual, 9.21). Concatenated numbers in wire
# format take PostgreSQL a tenth less time than arrays, and the driver a fifth of the time. The table of rows is not
# touched for a range within pages.
_CHUNKS = text("""
    WITH sequences AS (
        SELECT * FROM unnest(:ids, :afters, :uptos) WITH ORDINALITY AS sequences (factory_id, after, upto, number)
    ), pages AS MATERIALIZED (
        SELECT number, first_sequence, last_sequence, checksum, wire
        FROM sequences JOIN chart_page USING (factory_id)
        WHERE last_sequence > after AND last_sequence < upto + :largest_page AND first_sequence <= upto
    )
    SELECT number, first_sequence, last_sequence, checksum, wire,
           NULL::bytea AS times, NULL::bytea AS goals, NULL::bytea AS actuals
    FROM pages
  UNION ALL
    SELECT number, NULL, NULL, NULL, NULL, times, goals, actuals
    FROM sequences
    LEFT JOIN (SELECT number, max(last_sequence) AS packed FROM pages GROUP BY number) AS ends USING (number)
    CROSS JOIN LATERAL (
        SELECT string_agg(int8send(time_micros), ''),
               string_agg(int8send(sprocket_production_goal), ''),
               string_agg(int8send(sprocket_production_actual), '')
        FROM (
            SELECT time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry
            WHERE coalesce(packed < upto, true)
              AND factory_id = sequences.factory_id AND sequence > greatest(after, packed) AND sequence <= upto
            ORDER BY sequence
        ) AS entries
    ) AS columns (times, goals, actuals)
    ORDER BY number, last_sequence NULLS LAST
""").bindparams(
    bindparam("ids", type_=IDENTIFIERS),
    bindparam("afters", type_=NUMBERS),
    bindparam("uptos", type_=NUMBERS),
    bindparam("largest_page", LARGEST_PAGE, type_=BigInteger),
)


_READ_CHUNKS = Statement(_CHUNKS)


def read_chunks(ranges: Sequence[SequenceRange]) -> Read[list[Chunk]]:
    """Read all entries of ranges of charts, with whole pages.

    Raises:
        NotFoundError: Entries are missing: factories were deleted meanwhile.
    """
    ids, afters, uptos = zip(*ranges, strict=True)
    parameters = {"ids": list(ids), "afters": list(afters), "uptos": list(uptos)}
    return Read(_READ_CHUNKS, parameters, partial(_chunks, ranges))


def _chunks(ranges: Sequence[SequenceRange], rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    pages: list[list[Page]] = [[] for _ in ranges]
    chunks = []
    for number, *page, times, goals, actuals in rows:
        here = ranges[number - 1]
        if page[0] is None:  # the last row of a range has the columns
            chunks.append(Chunk(here, _numbers(times), _numbers(goals), _numbers(actuals), pages[number - 1]))
        else:
            pages[number - 1].append(Page(here.factory_id, *page))
    if gone := [each.sequences.factory_id for each in chunks if not _is_complete(each)]:
        raise NotFoundError(factory.name, *gone)
    return chunks


def _is_complete(chunk: Chunk) -> bool:
    after, upto = chunk.sequences[1:]
    for page in chunk.pages:
        if page.first_sequence > after + 1:
            return False
        after = page.last_sequence
    return min(after, upto) + len(chunk.time_micros) == upto


_READ_PACKED = Statement(
    select(chart_page.c.first_sequence, chart_page.c.last_sequence, chart_page.c.checksum, chart_page.c.wire)
    .where(
        chart_page.c.factory_id == bindparam("id", type_=Identifier()),
        chart_page.c.last_sequence > bindparam("after", type_=BigInteger),
        chart_page.c.last_sequence < bindparam("upto", type_=BigInteger) + LARGEST_PAGE,
        chart_page.c.first_sequence <= bindparam("upto", type_=BigInteger),
    )
    .order_by(chart_page.c.last_sequence)
)


def read_packed(sequences: SequenceRange) -> Read[list[Chunk]]:
    """Read the whole pages of a range whose entries are all in pages.

    PostgreSQL plans this statement once for each connection, and that of `read_chunks` for each read, which takes three
    quarters of the time of a read of 20,000 entries.

    Raises:
        NotFoundError: Entries are not in pages: they are rows, or the factory was deleted meanwhile.
    """
    factory_id, after, upto = sequences
    return Read(_READ_PACKED, {"id": factory_id, "after": after, "upto": upto}, partial(_packed, sequences))


def _packed(sequences: SequenceRange, rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    none = _numbers(None)
    chunk = Chunk(sequences, none, none, none, [Page(sequences.factory_id, *row) for row in rows])
    if not _is_complete(chunk):
        raise NotFoundError(factory.name, sequences.factory_id)
    return [chunk]


def _numbers(on_the_wire: bytes | None) -> Sequence[int]:
    """Convert big-endian numbers of 8 bytes, as PostgreSQL sends them."""
    numbers = array("q", on_the_wire or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
