"""Times SQL statements, and makes each a span of the trace that it belongs to, if any.

By SQLAlchemy's events and not by the instrumentation package for it, which makes a span for each statement before it
is known whether anybody wants it, and does not time statements for metrics.
"""

import re
import time
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import Compiled

from sprocket_grpc.models import metadata
from sprocket_grpc.telemetry.histograms import Attributes, Histograms

_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
_LONGEST_TEXT = 4096
_BEGAN = "_sprocket_began"
_COMMIT_BEGAN = "sprocket_commit_began"

_WRITE = re.compile(r"\b(INSERT) INTO (\w+)|\b(UPDATE) (\w+) SET\b|\b(DELETE) FROM (\w+)")
_READ = re.compile(r"\b(?:FROM|JOIN) (\w+)")
_FIRST_WORD = re.compile(r"\s*(\w*)")


class _Description(NamedTuple):
    """What a statement does.

    Attributes:
        summary: Its operations and their tables, in a few words.
        attributes: What its metric is told by: few of them, however many statements there are.
        text: The statement, without values.
    """

    summary: str
    attributes: Attributes
    text: str


class _Began(NamedTuple):
    """When something began: by a clock that never goes back, in seconds, and by the time of day, in nanoseconds."""

    clock: float
    time: int

    @classmethod
    def now(cls) -> "_Began":
        return cls(time.perf_counter(), time.time_ns())


class Statements:
    """Watches engines."""

    def __init__(self, histograms: Histograms, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._descriptions: WeakKeyDictionary[Compiled, _Description] = WeakKeyDictionary()
        self._duration = histograms.create("db.client.operation.duration", "How long SQL statements took.", _BUCKETS)

    def watch(self, engine: Engine) -> None:
        """Time the statements and commits of an engine from now on."""
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        event.listen(engine, "handle_error", self._fail)
        event.listen(engine, "commit", self._begin_commit)
        event.listen(engine.pool, "checkin", self._end_commit)

    def _begin(self, _c: Connection, _cursor: Any, _s: str, _p: Any, context: ExecutionContext, _m: bool) -> None:  # noqa: ANN401, FBT001  # as SQLAlchemy has it
        setattr(context, _BEGAN, _Began.now())

    def _end(self, _c: Connection, _cursor: Any, text: str, _p: Any, context: ExecutionContext, _m: bool) -> None:  # noqa: ANN401, FBT001  # as above
        self._record(self._describe(context.compiled, text), getattr(context, _BEGAN))

    def _fail(self, context: ExceptionContext) -> None:
        began = context.execution_context and getattr(context.execution_context, _BEGAN, None)
        if context.execution_context and began:
            error = context.original_exception
            description = self._describe(context.execution_context.compiled, context.statement or "")
            self._record(description, began, getattr(error, "sqlstate", None) or type(error).__name__)

    def _begin_commit(self, connection: Connection) -> None:
        connection.info[_COMMIT_BEGAN] = _Began.now()

    def _end_commit(self, _connection: Any, record: Any) -> None:  # noqa: ANN401  # as above
        """See a connection come back, which is right after the commit: that has no event of its own."""
        if began := record.info.pop(_COMMIT_BEGAN, None):
            self._record(_COMMIT, began)

    def _describe(self, compiled: Compiled | None, text: str) -> _Description:
        if compiled is None:
            return describe(text)
        description = self._descriptions.get(compiled)
        if description is None:
            # Its own text, for that of an INSERT of many rows has them all.
            description = self._descriptions[compiled] = describe(compiled.string or text)
        return description

    def _record(self, description: _Description, began: _Began, error: str | None = None) -> None:
        attributes = (*description.attributes, ("error.type", error)) if error else description.attributes
        self._duration.record(time.perf_counter() - began.clock, attributes)
        if self._tracer and get_current_span().is_recording():
            details = dict(attributes) | {"db.query.summary": description.summary, "db.query.text": description.text}
            span = self._tracer.start_span(description.summary, None, SpanKind.CLIENT, details, start_time=began.time)
            if error:
                span.set_status(StatusCode.ERROR)
            span.end()


def describe(text: str) -> _Description:
    """Find out what a statement writes, or else what it reads first."""
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
