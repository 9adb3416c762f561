"""The statements of sprockets: each change updates the counter and the chart of the factory in the same statement."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, bindparam, column, delete, func, insert, select, true
from sqlalchemy.sql.selectable import TableValuedAlias

from sprocket_grpc.storage import chart_writes
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, ArrayOf, Identifier
from sprocket_grpc.storage.tables import factory, sprocket, sprocket_type


def _new(name: str) -> BindParameter[str]:
    """Make a parameter. SQLAlchemy takes one with a column's own name for a value of every UPDATE it finds."""
    return bindparam(f"new_{name}", type_=sprocket.c[name].type)


def _several(name: str) -> BindParameter[Sequence[str]]:
    """Make a parameter for a column of several."""
    return bindparam(
        f"{name}s", type_=IDENTIFIERS if isinstance(sprocket.c[name].type, Identifier) else ArrayOf("TEXT")
    )


def _table_of(name: str, columns: Sequence[str]) -> TableValuedAlias:
    """Make a table whose columns are parameters."""
    typed = (column(each, sprocket.c[each].type) for each in columns)
    return func.unnest(*map(_several, columns)).table_valued(*typed).render_derived(name)


# What a sprocket is made of: all but what PostgreSQL sets itself, the factory first.
_SET_BY_POSTGRESQL = {"create_time", "update_time"}
FIELDS = ["factory_id", *(c.name for c in sprocket.c if c.name not in {"factory_id", *_SET_BY_POSTGRESQL})]

# One statement is one round trip and one commit, so the factory's row is locked for as short as it can be.
# Without the factory there is nothing to select from, and no sprocket is made.
COUNTED = (
    chart_writes.actual_changed(by=1).where(factory.c.id == _new("factory_id")).returning(*factory.c).cte("counted")
)
CREATED = (
    insert(sprocket)
    .from_select(FIELDS, select(COUNTED.c.id, *map(_new, FIELDS[1:])))
    .returning(*sprocket.c)
    .cte("created")
)

# Several at once: first the factory is locked, and then their types, as all writes take their locks. What refers to a
# type that is not there is left out, and as those that are there stay until the end, no foreign key can fail.
_GIVEN = _table_of("given", FIELDS[1:])
_LOCKED = select(factory.c.id).where(factory.c.id == _new("factory_id")).with_for_update(key_share=True).cte("locked")
_VALID = (
    select(_LOCKED.c.id.label("factory_id"), *_GIVEN.c)
    .select_from(_LOCKED.join(_GIVEN, true()).join(sprocket_type, sprocket_type.c.id == _GIVEN.c.sprocket_type_id))
    .with_for_update(read=True, key_share=True, of=sprocket_type)
    .cte("valid")
)
NUMBER = select(func.count()).select_from(_VALID).scalar_subquery()
EACH_COUNTED = (
    chart_writes.made_one_by_one(NUMBER)
    .where(factory.c.id == _new("factory_id"), NUMBER > 0)
    .returning(*factory.c)
    .cte("counted")
)
EACH_CREATED = (
    insert(sprocket)
    .from_select(FIELDS, select(*(_VALID.c[name] for name in FIELDS)))
    .returning(*sprocket.c)
    .cte("created")
)

# A batch, in arrays: a statement with a parameter for each field of each takes the driver longer than PostgreSQL.
_BATCH = _table_of("batch", FIELDS)
CREATE_BATCH = insert(sprocket).from_select(FIELDS, select(_BATCH))

_NAMED = sprocket.c.id == func.any(bindparam("ids", type_=IDENTIFIERS))

# What a caller that is limited to factories may not access is refused before it is locked or waited for.
FACTORIES = Statement(select(sprocket.c.id, sprocket.c.factory_id).where(_NAMED))

# In the order of their ids, so that two of these cannot deadlock.
_DOOMED = select(sprocket.c.id).where(_NAMED).order_by(sprocket.c.id).with_for_update().cte("doomed")
DELETE_MANY = Statement(
    delete(sprocket).where(sprocket.c.id.in_(select(_DOOMED.c.id))).returning(sprocket.c.id, sprocket.c.factory_id)
)

# One of several deletions that share a transaction. It waits for no lock, so it may take its locks in any order: a
# sprocket that is locked, or whose factory is, is left for later. Both are locked before they are changed, so the
# factory that is counted is the one that the sprocket is in.
_FREE = (
    select(sprocket.c.id)
    .join(factory, factory.c.id == sprocket.c.factory_id)
    .where(sprocket.c.id == bindparam("id"))
    .with_for_update(key_share=True, skip_locked=True)
    .cte("free")
)
_GONE = delete(sprocket).where(sprocket.c.id == _FREE.c.id).returning(sprocket.c.id, sprocket.c.factory_id).cte("gone")
_UNCOUNTED = (
    chart_writes.actual_changed(by=-1).where(factory.c.id == _GONE.c.factory_id).returning(*factory.c).cte("uncounted")
)
DELETE_FREE = Statement(select(_GONE.c.id).where(SET_CALLER.is_not(None)).add_cte(chart_writes.recorded(_UNCOUNTED)))
