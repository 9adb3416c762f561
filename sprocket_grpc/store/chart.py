"""The SQL of the chart: the only place that adds entries, and the one that reads them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Update,
    bindparam,
    column,
    func,
    insert,
    select,
    update,
)

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.models import Identifier, chart_entry, epoch_micros, factory
from sprocket_grpc.store.references import IDENTIFIERS
from sprocket_grpc.store.resource import Values

_ENTRY_COLUMNS = ["factory_id", "sequence", "time_micros", "sprocket_production_goal", "sprocket_production_actual"]


class ChartColumns(NamedTuple):
    """A stretch of a chart.

    Attributes:
        last_sequence: The sequence of its last entry.
        time_micros: When each entry was added, in microseconds since 1970.
        sprocket_production_goal: The goal from then on.
        sprocket_production_actual: The actual from then on.
    """

    last_sequence: int
    time_micros: Sequence[int]
    sprocket_production_goal: Sequence[int]
    sprocket_production_actual: Sequence[int]


def next_entry() -> Values:
    """Return what an UPDATE of a factory sets for its chart to take one more entry.

    The sequence is counted, and the time read, while the row is locked: sequences are gapless and in the
    order of the commits, and times never go backwards, even if the clock does.
    """
    return {
        "chart_sequence": factory.c.chart_sequence + 1,
        "chart_time_micros": func.greatest(epoch_micros(func.clock_timestamp()), factory.c.chart_time_micros),
    }


def actual_changed(by: int | ColumnElement[int]) -> Update:
    """Make the UPDATE that counts sprockets of a factory, up or down; it still wants a WHERE."""
    actual = factory.c.sprocket_production_actual + by
    return update(factory).values(sprocket_production_actual=actual, **next_entry())


def recorded(changed: CTE) -> CTE:
    """Make the INSERT of one chart entry for each row of `changed`, which are factories as they are now."""
    entries = select(
        changed.c.id,
        changed.c.chart_sequence,
        changed.c.chart_time_micros,
        changed.c.sprocket_production_goal,
        changed.c.sprocket_production_actual,
    )
    return insert(chart_entry).from_select(_ENTRY_COLUMNS, entries).cte("recorded")


def lock(connection: Connection, factory_ids: Iterable[str]) -> None:
    """Keep the actual and the chart of factories from changing until the transaction ends.

    They are locked in the order of their ids, so that two of these cannot deadlock.
    """
    connection.execute(_LOCK, {"ids": sorted(set(factory_ids))})


def count(connection: Connection, changes: Mapping[str, int]) -> None:
    """Change the actual of several factories, each by its number, with one entry in the chart of each."""
    lock(connection, changes)
    identifiers = list(changes)
    connection.execute(_COUNT, {"ids": identifiers, "numbers": [changes[each] for each in identifiers]})


_LOCK = (
    select(factory.c.id)
    .where(factory.c.id == func.any(bindparam("ids", type_=IDENTIFIERS)))
    .order_by(factory.c.id)
    .with_for_update(key_share=True)
)
_CHANGES = (
    func.unnest(bindparam("ids", type_=IDENTIFIERS), bindparam("numbers", type_=ARRAY(BigInteger)))
    .table_valued(column("id", Identifier), column("number", BigInteger))
    .render_derived("changes")
)
_COUNTED = (
    actual_changed(by=_CHANGES.c.number).where(factory.c.id == _CHANGES.c.id).returning(*factory.c).cte("counted")
)
_COUNT = select(func.count()).select_from(_COUNTED).add_cte(recorded(_COUNTED))

_END = select(factory.c.chart_sequence).where(factory.c.id == bindparam("factory_id"))


def read_end(connection: Connection, factory_id: str) -> int:
    """Return the sequence of the last entry of a chart, which is 1 or more.

    Raises:
        NotFoundError: There is no such factory.
    """
    end = connection.scalar(_END, {"factory_id": factory_id})
    if end is None:
        raise NotFoundError(factory.name, factory_id)
    return int(end)


_STRETCH = (
    select(chart_entry)
    .where(
        chart_entry.c.factory_id == bindparam("factory_id"),
        chart_entry.c.sequence > bindparam("after"),
        chart_entry.c.sequence <= bindparam("end"),
    )
    .order_by(chart_entry.c.sequence)
    .limit(bindparam("limit"))
    .subquery("stretch")
)
# The aggregates take the rows in the order of the subquery (PostgreSQL manual, 9.21).
_COLUMNS = select(
    func.max(_STRETCH.c.sequence),
    func.array_agg(_STRETCH.c.time_micros),
    func.array_agg(_STRETCH.c.sprocket_production_goal),
    func.array_agg(_STRETCH.c.sprocket_production_actual),
)


def read(connection: Connection, factory_id: str, after: int, end: int, limit: int) -> ChartColumns:
    """Read up to `limit` entries of a chart whose sequences are over `after` and not over `end`.

    Raises:
        NotFoundError: There are none: the factory was deleted meanwhile.
    """
    keys = {"factory_id": factory_id, "after": after, "end": end, "limit": limit}
    row = connection.execute(_COLUMNS, keys).one()
    if row[0] is None:
        raise NotFoundError(factory.name, factory_id)
    return ChartColumns(*row)
