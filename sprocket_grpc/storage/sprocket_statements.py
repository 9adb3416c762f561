"""The statements of sprockets: each change updates the counter and the chart of the factory in the same statement."""

from typing import Any, NamedTuple

from sqlalchemy import CTE, BindParameter, Select, bindparam, delete, func, insert, select, true

from sprocket_grpc.storage import chart_writes
from sprocket_grpc.storage.arrays import given_rows
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS
from sprocket_grpc.storage.tables import factory, sprocket, sprocket_type


def _new(name: str) -> BindParameter[str]:
    """Make a parameter. SQLAlchemy takes one with a column's own name for a value of every UPDATE it finds."""
    return bindparam(f"new_{name}", type_=sprocket.c[name].type)


# What a sprocket is made of: all but what PostgreSQL sets itself, the factory first.
_SET_BY_POSTGRESQL = {"create_time", "update_time"}
FIELDS = ["factory_id", *(c.name for c in sprocket.c if c.name not in {"factory_id", *_SET_BY_POSTGRESQL})]


class Creation(NamedTuple):
    """The parts of a statement that creates sprockets of one factory.

    Attributes:
        created: The sprockets.
        recorded: The entries of the chart.
    """

    created: CTE
    recorded: CTE


def _creation_of_one(counted: CTE) -> Creation:
    """Make the creation of a sprocket in the factory that is counted: without it, no sprocket is made."""
    made = insert(sprocket).from_select(FIELDS, select(counted.c.id, *map(_new, FIELDS[1:])))
    return Creation(made.returning(*sprocket.c).cte("created"), chart_writes.recorded(counted))


def _locked_factory(*, skip_locked: bool) -> CTE:
    wanted = select(factory.c.id).where(factory.c.id == _new("factory_id"))
    return wanted.with_for_update(key_share=True, skip_locked=skip_locked).cte("locked")


def _with_types(given: Select[Any], *, skip_locked: bool) -> CTE:
    """Lock the types of what is given, which is left out if they are not there, or locked."""
    return given.with_for_update(read=True, key_share=True, of=sprocket_type, skip_locked=skip_locked).cte("valid")


def _one_free() -> Creation:
    locked = _locked_factory(skip_locked=True)
    typed = locked.join(sprocket_type, sprocket_type.c.id == _new("sprocket_type_id"))
    valid = _with_types(select(locked.c.id).select_from(typed), skip_locked=True)
    counting = chart_writes.actual_changed(by=1).where(factory.c.id == select(valid.c.id).scalar_subquery())
    return _creation_of_one(counting.returning(*factory.c).cte("counted"))


def _each(*, skip_locked: bool) -> Creation:
    """Make the creation of several: first the factory is locked, and then their types, as all writes take their locks.

    What refers to a type that is not there is left out, and as those that are there stay until the end, no foreign key
    can fail.
    """
    given, locked = given_rows(sprocket, FIELDS[1:]), _locked_factory(skip_locked=skip_locked)
    typed = locked.join(given, true()).join(sprocket_type, sprocket_type.c.id == given.c.sprocket_type_id)
    fields = select(locked.c.id.label("factory_id"), *given.c).select_from(typed)
    valid = _with_types(fields, skip_locked=skip_locked)
    number = select(func.count()).select_from(valid).scalar_subquery()
    counting = chart_writes.made_one_by_one(number).where(factory.c.id == _new("factory_id"), number > 0)
    made = insert(sprocket).from_select(FIELDS, select(*(valid.c[name] for name in FIELDS)))
    entries = chart_writes.recorded_one_by_one(counting.returning(*factory.c).cte("counted"), number)
    return Creation(made.returning(*sprocket.c).cte("created"), entries)


# One statement is one round trip and one commit, so the factory's row is locked for as short as it can be.
_COUNTED = chart_writes.actual_changed(by=1).where(factory.c.id == _new("factory_id"))
ONE = _creation_of_one(_COUNTED.returning(*factory.c).cte("counted"))
EACH = _each(skip_locked=False)

# Where factories share a transaction, it waits for no lock: of a factory or type that is locked nothing is made.
ONE_FREE = _one_free()
EACH_FREE = _each(skip_locked=True)

_NAMED = sprocket.c.id == func.any(bindparam("ids", type_=IDENTIFIERS))

# What a caller that is limited to factories may not access is refused before it is locked or waited for.
FACTORIES = Statement(select(sprocket.c.id, sprocket.c.factory_id).where(_NAMED))

# In the order of their ids, so that two of these cannot deadlock.
_DOOMED = select(sprocket.c.id).where(_NAMED).order_by(sprocket.c.id).with_for_update().cte("doomed")
# The ids again: a join alone may read the whole table, if PostgreSQL has no statistics of it yet.
DELETE_MANY = Statement(
    delete(sprocket)
    .where(_NAMED, sprocket.c.id.in_(select(_DOOMED.c.id)))
    .returning(sprocket.c.id, sprocket.c.factory_id)
)


def _delete_free() -> Statement:
    """Make one of several deletions that share a transaction: of what is locked nothing is deleted.

    It waits for no lock, so it may take its locks in any order. A sprocket that is moved meanwhile is not deleted. Its
    subqueries have one row, so PostgreSQL reads indexes, whether it has statistics or not; for joins it needs them.
    """
    identified = sprocket.c.id == bindparam("id")
    free = select(sprocket.c.factory_id).where(identified).with_for_update(skip_locked=True).cte("free")
    its_factory = select(factory.c.id).where(factory.c.id == select(free.c.factory_id).scalar_subquery())
    locked = its_factory.with_for_update(key_share=True, skip_locked=True).cte("locked")
    doomed = sprocket.c.factory_id == select(locked.c.id).scalar_subquery()
    gone = delete(sprocket).where(identified, doomed).returning(sprocket.c.id, sprocket.c.factory_id).cte("gone")
    counting = chart_writes.actual_changed(by=-1).where(factory.c.id == select(gone.c.factory_id).scalar_subquery())
    entry = chart_writes.recorded(counting.returning(*factory.c).cte("counted"))
    return Statement(select(gone.c.id).where(SET_CALLER.is_not(None)).add_cte(entry))


DELETE_FREE = _delete_free()
