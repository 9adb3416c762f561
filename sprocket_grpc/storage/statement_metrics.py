"""Times SQL statements, and adds a span for each to a sampled trace.

The instrumentation packages for SQLAlchemy and psycopg do not see these statements, which go to libpq.
"""

import re
import time
from typing import NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span

from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.statements import Statement
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
    """Measures the statements of databases."""

    def __init__(self, histograms: Histograms, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._descriptions: WeakKeyDictionary[Statement, _Description] = WeakKeyDictionary()
        self._duration = histograms.create("db.client.operation.duration", "The duration of SQL statements.", _BUCKETS)

    def watch(self, database: Database) -> None:
        """Record the statements of a database from now on."""
        database.on_statement = self._record_statement

    def _record_statement(self, statement: Statement, seconds: float, error: str | None) -> None:
        description = self._descriptions.get(statement)
        if description is None:
            description = self._descriptions[statement] = describe(statement.text.decode())
        self._record(description, seconds, time.time_ns() - int(seconds * 1e9), error)

    def _record(self, description: _Description, seconds: float, began_time: int, error: str | None) -> None:
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
