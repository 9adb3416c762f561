"""The SQL that adds entries to charts: the only place that does."""

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Update,
    bindparam,
    column,
    func,
    insert,
    select,
    true,
    update,
)

from sprocket_grpc.storage.access import require_factories
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier, epoch_micros
from sprocket_grpc.storage.resource import Values
from sprocket_grpc.storage.tables import chart_entry, factory

_ENTRY_COLUMNS = ["factory_id", "sequence", "time_micros", "sprocket_production_goal", "sprocket_production_actual"]


def next_entries(number: int | ColumnElement[int] = 1) -> Values:
    """Return the columns that an UPDATE of a factory sets for new entries of its chart.

    The sequence is counted, and the time read, while the row is locked: sequences are gapless and in the
    order of the commits, and times never go backwards, even if the clock does.
    """
    return {
        "chart_sequence": factory.c.chart_sequence + number,
        "chart_time_micros": func.greatest(epoch_micros(func.clock_timestamp()), factory.c.chart_time_micros),
    }


def actual_changed(by: int | ColumnElement[int]) -> Update:
    """Make the UPDATE that counts sprockets of a factory, up or down, in one entry; the caller adds the WHERE."""
    actual = factory.c.sprocket_production_actual + by
    return update(factory).values(sprocket_production_actual=actual, **next_entries())


def made_one_by_one(number: ColumnElement[int]) -> Update:
    """Make the UPDATE that counts new sprockets of a factory, with an entry for each; the caller adds the WHERE."""
    actual = factory.c.sprocket_production_actual + number
    return update(factory).values(sprocket_production_actual=actual, **next_entries(number))


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


def recorded_one_by_one(changed: CTE, number: ColumnElement[int]) -> CTE:
    """Make the INSERT of the entries of `made_one_by_one`; `changed` is the factory as it is with the last of them."""
    series = func.generate_series(number - 1, 0, -1).table_valued(column("later", BigInteger)).render_derived("series")
    entries = select(
        changed.c.id,
        changed.c.chart_sequence - series.c.later,
        changed.c.chart_time_micros,
        changed.c.sprocket_production_goal,
        changed.c.sprocket_production_actual - series.c.later,
    ).select_from(changed.join(series, true()))
    return insert(chart_entry).from_select(_ENTRY_COLUMNS, entries).cte("recorded")


def lock(connection: Connection, factory_ids: Iterable[str]) -> None:
    """Lock the counters and charts of factories until the transaction ends.

    They are locked in the order of their ids, so that two of these cannot deadlock.

    Raises:
        OutOfReachError: The caller may not access some of them.
    """
    factory_ids = sorted(set(factory_ids))
    require_factories(factory_ids)
    connection.execute(_LOCK, {"ids": factory_ids})


def count(connection: Connection, changes: Mapping[str, int]) -> None:
    """Change the actual of several factories, each by its number, with one entry in the chart of each."""
    lock(connection, changes)
    identifiers = list(changes)
    connection.execute(_COUNT, {"ids": identifiers, "numbers": [changes[each] for each in identifiers]})


_LOCK = Statement(
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
_COUNT = Statement(select(func.count()).select_from(_COUNTED).add_cte(recorded(_COUNTED)))
