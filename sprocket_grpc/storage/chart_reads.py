"""The SQL that reads charts: their ends, ranges of time, and entries in columns.

Statements with recursion, lateral joins or array aggregates are text, which is easier to read. Sequences are
gapless and times never go backwards (see `chart_writes`), so the entries of a range are those between two
sequences, and how many they are is known without counting.
"""

import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Integer, bindparam, column, func, select, text

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier, epoch_micros
from sprocket_grpc.storage.tables import factory

_NUMBERS = ARRAY(BigInteger)


class Position(NamedTuple):
    """A position in the chart of one factory: after one of its entries.

    Attributes:
        created_micros: When the factory was created. Another one that was created later with the same id has another
            chart.
        sequence: The sequence of the entry, or 0 for the beginning.
    """

    created_micros: int
    sequence: int


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
    """Entries of one chart, in columns.

    Attributes:
        sequences: Where they are in the chart. A summary has fewer entries than its sequences.
        time_micros: When each entry was added, in microseconds since 1970.
        sprocket_production_goal: The goal from then on.
        sprocket_production_actual: The actual from then on.
    """

    sequences: SequenceRange
    time_micros: Sequence[int]
    sprocket_production_goal: Sequence[int]
    sprocket_production_actual: Sequence[int]

    def cut(self, sequences: SequenceRange) -> "Chunk":
        """Return the entries of a range that begins within this one and ends with it. Not of a summary."""
        skipped = sequences.after - self.sequences.after
        return Chunk(sequences, *(column[skipped:] for column in self[1:])) if skipped else self


class Found(NamedTuple):
    """The first entry of a chart at or after a time.

    Attributes:
        sequence: Its sequence, or that of the next entry if the chart ends before the time.
        is_exact: Whether it was added exactly at the time.
    """

    sequence: int
    is_exact: bool


class Extent(NamedTuple):
    """The state of a chart at one moment.

    Attributes:
        end: Where it ends.
        found: The first entry at or after each of the times.
    """

    end: Position
    found: list[Found]


# A binary search for each time, some twenty lookups in the primary key: an index by time would slow down every write.
# One statement, so that the times and the end are of the same state of the chart.
_EXTENTS = text("""
    WITH RECURSIVE asked AS (
        SELECT id AS factory_id, create_time, chart_sequence FROM factory WHERE id = ANY (:ids)
    ), bracket (factory_id, number, time, low, high) AS (
        SELECT factory_id, number, time, 1::bigint, chart_sequence + 1
        FROM asked CROSS JOIN unnest(:times) WITH ORDINALITY AS times (time, number)
      UNION ALL
        SELECT factory_id, number, time,
               CASE WHEN time_micros < time THEN middle + 1 ELSE low END,
               CASE WHEN time_micros < time THEN high ELSE middle END
        FROM (SELECT *, (low + high) / 2 AS middle FROM bracket WHERE low < high) AS halved
        JOIN chart_entry USING (factory_id)
        WHERE sequence = middle
    )
    SELECT asked.factory_id::text, CAST(date_part('epoch', create_time) * 1000000 AS bigint), chart_sequence,
           low, coalesce(time_micros = time, false)
    FROM asked
    LEFT JOIN bracket ON bracket.factory_id = asked.factory_id AND low = high
    LEFT JOIN chart_entry ON chart_entry.factory_id = asked.factory_id AND sequence = low
    ORDER BY number
""").bindparams(bindparam("ids", type_=IDENTIFIERS), bindparam("times", type_=_NUMBERS))


def read_extents(factory_ids: Collection[str], times: Sequence[int]) -> Read[dict[str, Extent]]:
    """Read the end of each chart, and its first entries at or after times, in microseconds since 1970.

    Raises:
        NotFoundError: Some of the factories do not exist.
    """
    return Read(_EXTENTS, {"ids": list(factory_ids), "times": list(times)}, partial(_extents, factory_ids))


def _extents(factory_ids: Collection[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Extent]:
    extents: dict[str, Extent] = {}
    for factory_id, created, end, sequence, is_exact in rows:
        extent = extents.setdefault(factory_id, Extent(Position(created, end), []))
        if sequence is not None:
            extent.found.append(Found(sequence, is_exact))
    if missing := [each for each in factory_ids if each not in extents]:
        raise NotFoundError(factory.name, *missing)
    return extents


_KNOWN = (
    func.unnest(
        bindparam("ids", type_=IDENTIFIERS),
        bindparam("created", type_=_NUMBERS),
        bindparam("sequences", type_=_NUMBERS),
    )
    .table_valued(column("id", Identifier), column("created", BigInteger), column("sequence", BigInteger))
    .render_derived("known")
)
_MOVED = (
    select(_KNOWN.c.id, factory.c.create_time, factory.c.chart_sequence)
    .select_from(_KNOWN.outerjoin(factory, factory.c.id == _KNOWN.c.id))
    .where(
        factory.c.chart_sequence.is_distinct_from(_KNOWN.c.sequence)
        | (epoch_micros(factory.c.create_time) != _KNOWN.c.created)
    )
)


_READ_MOVED = Statement(_MOVED)


def read_moved(known: Mapping[str, Position]) -> Read[dict[str, Position | None]]:
    """Read the ends of charts that differ from the known positions; None if the factory was deleted."""
    created, sequences = zip(*known.values(), strict=True)
    parameters = {"ids": list(known), "created": list(created), "sequences": list(sequences)}
    return Read(_READ_MOVED, parameters, _ends)


def _ends(rows: Sequence[tuple[Any, ...]]) -> dict[str, Position | None]:
    return {each: None if created is None else Position(created, sequence) for each, created, sequence in rows}


# The aggregates take the rows in the order of the subquery (PostgreSQL manual, 9.21). Concatenated numbers in wire
# format take PostgreSQL a tenth less time than arrays, and the driver a fifth of the time.
_CHUNKS = text("""
    SELECT times, goals, actuals
    FROM unnest(:ids, :afters, :uptos) WITH ORDINALITY AS sequences (factory_id, after, upto, number)
    CROSS JOIN LATERAL (
        SELECT string_agg(int8send(time_micros), ''),
               string_agg(int8send(sprocket_production_goal), ''),
               string_agg(int8send(sprocket_production_actual), '')
        FROM (
            SELECT time_micros, sprocket_production_goal, sprocket_production_actual FROM chart_entry
            WHERE factory_id = sequences.factory_id AND sequence > after AND sequence <= upto
            ORDER BY sequence
        ) AS entries
    ) AS columns (times, goals, actuals)
    ORDER BY number
""").bindparams(
    bindparam("ids", type_=IDENTIFIERS), bindparam("afters", type_=_NUMBERS), bindparam("uptos", type_=_NUMBERS)
)


_READ_CHUNKS = Statement(_CHUNKS)


def read_chunks(ranges: Sequence[SequenceRange]) -> Read[list[Chunk]]:
    """Read all entries of ranges of charts.

    Raises:
        NotFoundError: Entries are missing: factories were deleted meanwhile.
    """
    ids, afters, uptos = zip(*ranges, strict=True)
    parameters = {"ids": list(ids), "afters": list(afters), "uptos": list(uptos)}
    return Read(_READ_CHUNKS, parameters, partial(_chunks, ranges))


def _chunks(ranges: Sequence[SequenceRange], rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    chunks = [Chunk(each, *map(_numbers, columns)) for each, columns in zip(ranges, rows, strict=True)]
    if gone := [each.sequences.factory_id for each in chunks if len(each.time_micros) != each.sequences.entries]:
        raise NotFoundError(factory.name, *gone)
    return chunks


def _numbers(on_the_wire: bytes | None) -> Sequence[int]:
    """Convert big-endian numbers of 8 bytes, as PostgreSQL sends them."""
    numbers = array("q", on_the_wire or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


ENTRIES_OF_PART = 6
"""The most entries that a summary has of each part of the time."""

# Of each part of the time: the first and the last entry, and those with the least and the greatest goal and actual,
# the earliest of each. Drawn on as many pixels as there are parts, both curves look as if every entry were there: M4
# (Jugel, Jerzak, Hackenbroich and Markl, "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), for
# two curves at once. A library would need all the entries first.
_SUMMARY = text("""
    WITH parts AS (
        SELECT min(sequence) AS first, max(sequence) AS last,
               min(ARRAY[sprocket_production_goal, sequence]) AS least_goal,
               max(ARRAY[sprocket_production_goal, -sequence]) AS greatest_goal,
               min(ARRAY[sprocket_production_actual, sequence]) AS least_actual,
               max(ARRAY[sprocket_production_actual, -sequence]) AS greatest_actual
        FROM chart_entry, (
            SELECT greatest(min(time_micros), :begin) AS begin, max(time_micros) AS end
            FROM chart_entry WHERE factory_id = :factory_id AND sequence IN (:after + 1, :upto)
        ) AS range
        WHERE factory_id = :factory_id AND sequence > :after AND sequence <= :upto
        GROUP BY least(:parts, width_bucket(greatest(time_micros - range.begin, 0),
                                            0, greatest(range.end - range.begin, 0) + 1, :parts))
    ), chosen AS (
        SELECT unnest(ARRAY[
            first, last, least_goal[2], -greatest_goal[2], least_actual[2], -greatest_actual[2]
        ]) AS sequence FROM parts
    )
    SELECT array_agg(time_micros), array_agg(sprocket_production_goal), array_agg(sprocket_production_actual)
    FROM (
        SELECT * FROM chart_entry
        WHERE factory_id = :factory_id AND sequence IN (SELECT sequence FROM chosen)
        ORDER BY sequence
    ) AS entries
""").bindparams(
    bindparam("factory_id", type_=Identifier()),
    bindparam("after", type_=BigInteger),
    bindparam("upto", type_=BigInteger),
    bindparam("begin", type_=BigInteger),
    bindparam("parts", type_=Integer),
)


def read_summary(sequences: SequenceRange, begin_micros: int, most: int) -> Read[list[Chunk]]:
    """Read a selection of the entries of a range that looks like all of them.

    Args:
        sequences: Which entries to select from.
        begin_micros: When the time that is to be drawn begins; an earlier entry counts as if it were added then.
        most: How many entries to select at most; `ENTRIES_OF_PART` or more.

    Raises:
        NotFoundError: The range has no entries: the factory was deleted meanwhile.
    """
    keys = sequences._asdict() | {"begin": begin_micros, "parts": most // ENTRIES_OF_PART}
    return Read(_SUMMARY, keys, partial(_summary, sequences), is_expensive=True)


def _summary(sequences: SequenceRange, rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    [columns] = rows
    if columns[0] is None:
        raise NotFoundError(factory.name, sequences.factory_id)
    return [Chunk(sequences, *columns)]
