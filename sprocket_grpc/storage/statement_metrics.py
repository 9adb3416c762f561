"""Times SQL statements, and adds a span for each to a sampled trace.

It uses SQLAlchemy's events and not the instrumentation package for it, which makes a span for each statement also in
traces that are not sampled, and has no metrics.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span
from sqlalchemy import event
from sqlalchemy.engine.interfaces import Compiled, DBAPICursor, ExecutionContext

from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import error_name
from sprocket_grpc.storage.postgres.reads import PreparedStatement
from sprocket_grpc.storage.tables import metadata
from sprocket_grpc.telemetry.histograms import Attributes, Histograms

_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
_LONGEST_TEXT = 4096

_WRITE = re.compile(r"\b(INSERT) INTO (\w+)|\b(UPDATE) (\w+) SET\b|\b(DELETE) FROM (\w+)")
_READ = re.compile(r"\b(?:FROM|JOIN) (\w+)")
_FIRST_WORD = re.compile(r"\s*(\w*)")


class _Description(NamedTuple):
    """What a statement does.

    Attributes:
        summary: Its operations and their tables, in a few words.
        attributes: The attributes of its metric: few, for all statements together.
        text: The statement, without values.
    """

    summary: str
    attributes: Attributes
    text: str


class Statements:
    """Measures the statements of engines."""

    def __init__(self, histograms: Histograms, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._descriptions: WeakKeyDictionary[Compiled, _Description] = WeakKeyDictionary()
        self._duration = histograms.create("db.client.operation.duration", "How long SQL statements took.", _BUCKETS)

    def watch(self, database: Database) -> None:
        """Time the statements, prepared reads and commits of a database from now on.

        Statements by events of the dialect: an event of the engine itself costs every statement a third more CPU.
        """
        database.on_commit = self._record_commit
        database.on_direct_read = self._record_direct_read
        engine = database.engine
        event.listen(engine, "do_execute", partial(self._execute, engine.dialect.do_execute))
        event.listen(engine, "do_executemany", partial(self._execute, engine.dialect.do_executemany))

    def _record_direct_read(self, statement: PreparedStatement, seconds: float, error: str | None) -> None:
        """Record a prepared read that bypassed SQLAlchemy."""
        self._record(self._describe(statement.compiled, ""), seconds, time.time_ns() - int(seconds * 1e9), error)

    def _record_commit(self, seconds: float, error: str | None) -> None:
        """Record a commit."""
        self._record(_COMMIT, seconds, time.time_ns() - int(seconds * 1e9), error)

    def _execute(
        self,
        execute: Callable[..., None],
        cursor: DBAPICursor,
        text: str,
        parameters: Any,  # noqa: ANN401  # as SQLAlchemy has it
        context: ExecutionContext,
    ) -> bool:
        self._time(self._describe(context.compiled, text), execute, cursor, text, parameters, context)
        return True  # so that it is not executed again

    def _time(self, description: _Description, run: Callable[..., None], *arguments: object) -> None:
        began, began_time = time.perf_counter(), time.time_ns()
        try:
            run(*arguments)
        except BaseException as error:
            self._record(description, time.perf_counter() - began, began_time, error_name(error))
            raise
        self._record(description, time.perf_counter() - began, began_time)

    def _describe(self, compiled: Compiled | None, text: str) -> _Description:
        if compiled is None:
            return describe(text)
        description = self._descriptions.get(compiled)
        if description is None:
            # Its own text, for that of an INSERT of many rows has them all.
            description = self._descriptions[compiled] = describe(compiled.string or text)
        return description

    def _record(self, description: _Description, seconds: float, began_time: int, error: str | None = None) -> None:
        attributes = (*description.attributes, ("error.type", error)) if error else description.attributes
        self._duration.record(seconds, attributes)
        if self._tracer and get_current_span().is_recording():
            details = dict(attributes) | {"db.query.summary": description.summary, "db.query.text": description.text}
            span = self._tracer.start_span(description.summary, None, SpanKind.CLIENT, details, start_time=began_time)
            if error:
                span.set_status(StatusCode.ERROR)
            span.end()


def describe(text: str) -> _Description:
    """Return the writes of a statement, or the first table that it reads."""
    flat = " ".join(text.split())
    writes = [tuple(filter(None, groups)) for groups in _WRITE.findall(flat)]
    tables = [name for name in _READ.findall(flat) if name in metadata.tables]
    first_word = _FIRST_WORD.match(flat)
    word = first_word[1].upper() if first_word else ""
    operations = writes or [("SELECT", *tables[:1]) if word in {"SELECT", "WITH"} else (word,)]
    attributes = zip(("db.operation.name", "db.collection.name"), operations[0], strict=False)
    summary = " ".join(dict.fromkeys(" ".join(operation) for operation in operations))
    return _Description(summary, (("db.system.name", "postgresql"), *attributes), flat[:_LONGEST_TEXT])


_COMMIT = describe("COMMIT")
