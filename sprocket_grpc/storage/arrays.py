"""Many rows as parameters of a statement: an array for each column.

A statement with a parameter for each field of each row takes the driver longer than PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, Table, bindparam, column, func
from sqlalchemy.sql.selectable import TableValuedAlias


def given_rows(table: Table, names: Sequence[str]) -> TableValuedAlias:
    """Make the rows of a FROM, with some columns of a table; `in_arrays` returns their parameters."""
    columns = [table.c[name] for name in names]
    arrays = (bindparam(f"{each.name}s", type_=ARRAY(each.type)) for each in columns)
    typed = (column(each.name, each.type) for each in columns)
    return func.unnest(*arrays).table_valued(*typed).render_derived("given")


def in_arrays(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `given_rows`."""
    return {f"{name}s": [row[name] for row in rows] for name in names}
