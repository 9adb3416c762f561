"""Statements of SQLAlchemy as PostgreSQL takes them: compiled once, and prepared once on each connection."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from psycopg import DataError
from sqlalchemy import BindParameter, Executable
from sqlalchemy.dialects.postgresql.psycopg import dialect

from sprocket_grpc.storage.postgres.types import as_array

Parameters: TypeAlias = Mapping[str, object]

_DIALECT = dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy forgot it

_MOST_SHAPES = 300
"""The most statements that are kept by their shape. Callers choose the shapes of filters."""

_LONGEST_PREPARED = 2048
"""The longest text of a statement with a shape that is prepared: PostgreSQL keeps its plan on each connection."""


class Statement:
    """A statement that is compiled once. Its parameters are text, numbers, bytes, times and lists of these.

    Attributes:
        name: Its name on each connection that has prepared it: a digest of its text, for through a pooler servers may
            share connections.
        text: The statement as PostgreSQL takes it.
        source: The statement as SQLAlchemy has it.
        is_prepared: Whether connections prepare it. One with a shape is, once it is used a second time.
    """

    def __init__(self, source: Executable, constants: Sequence[BindParameter[Any]] = ()) -> None:
        """Compile a statement.

        Args:
            source: The statement.
            constants: Parameters whose values are given to `values` in this order.
        """
        compiled: Any = source.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every executable element has it
        self.text: bytes = compiled.string.encode()
        self.name = b"sprocket_" + hashlib.blake2b(self.text, digest_size=12).hexdigest().encode()
        self.source = source
        self.is_prepared = True
        places = {id(parameter): place for place, parameter in enumerate(constants)}
        self._slots = [_Slot(name, compiled.binds[name], places) for name in compiled.positiontup or ()]

    def values(self, parameters: Parameters, constants: Sequence[BindParameter[Any]] = ()) -> list[bytes | None]:
        """Return all parameters in their order, in PostgreSQL's text format.

        Raises:
            psycopg.DataError: A text has a NUL, which PostgreSQL cannot store.
        """
        return [slot.text if slot.is_fixed else _as_text(slot.value(parameters, constants)) for slot in self._slots]


class _Slot:
    """Where a parameter comes from.

    Attributes:
        is_fixed: Whether it is a literal of the statement.
        text: That literal, in PostgreSQL's text format.
    """

    def __init__(self, name: str, parameter: BindParameter[Any], places: Mapping[int, int]) -> None:
        self._name = name
        self._parameter = parameter
        self._place = places.get(id(parameter))
        self.is_fixed = not parameter.required and parameter.callable is None and self._place is None
        self.text = _as_text(parameter.value) if self.is_fixed else None

    def value(self, parameters: Parameters, constants: Sequence[BindParameter[Any]]) -> object:
        """Return its value: the one that is given, or else its own."""
        if self._name in parameters:
            return parameters[self._name]
        if self._parameter.required:
            raise ValueError(f"the parameter {self._name} is missing")
        parameter = self._parameter if self._place is None else constants[self._place]
        return parameter.effective_value


class Request(NamedTuple):
    """A statement with its parameters.

    Attributes:
        statement: The statement.
        values: Its parameters, in PostgreSQL's text format.
    """

    statement: Statement
    values: Sequence[bytes | None]


_shapes: OrderedDict[Hashable, Statement] = OrderedDict()


def request(statement: Executable | Statement, parameters: Parameters | None = None) -> Request:
    """Return a statement with its parameters.

    A statement of SQLAlchemy is kept by its shape, which is the statement without the values of its parameters
    (SQLAlchemy's key of its own cache, as its examples of caching use it).
    """
    if isinstance(statement, Statement):
        return Request(statement, statement.values(parameters or {}))
    key: Any = statement._generate_cache_key()  # type: ignore[attr-defined]  # noqa: SLF001  # see above
    known = of_shape(key.key, lambda: Statement(statement, key.bindparams))
    return Request(known, known.values(parameters or {}, key.bindparams))


def of_shape(shape: Hashable, make: Callable[[], Statement]) -> Statement:
    """Return the statement of a shape, which is made if it is not known. It is prepared when it is used again."""
    known = _shapes.get(shape)
    if known is None:
        known = _shapes[shape] = make()
        known.is_prepared = False
        while len(_shapes) > _MOST_SHAPES:
            _shapes.popitem(last=False)
    else:
        _shapes.move_to_end(shape)
        known.is_prepared = len(known.text) <= _LONGEST_PREPARED
    return known


def _as_text(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return as_array([*map(_item, value)]).encode()
    return _item(value).encode()


def _item(value: object) -> str:
    item = value if isinstance(value, str) else _written(value)
    if "\0" in item:  # libpq would end the text there, and `as_array` the item
        raise DataError("a text for PostgreSQL cannot have a NUL")
    return item


def _written(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
