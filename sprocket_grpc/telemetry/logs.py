"""Configures logging: lines of JSON for log collectors, or of text for people.

A record may have additional fields: `log.info("...", extra={FIELDS: {"code": "OK"}})`, and a shorter text for people:
`extra={FIELDS: {...}, BRIEF: shorten}`.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from sprocket_grpc.caller import current_caller
from sprocket_grpc.telemetry.line_handler import LineHandler
from sprocket_grpc.telemetry.trace_context import current_trace_id

FIELDS = "fields"
"""The key in `extra` for the additional fields of a record."""

Fields: TypeAlias = Mapping[str, object]

Brief: TypeAlias = Callable[[Fields], tuple[Iterable[str], Fields]]
"""From the fields of a record, the words of its message for people, and the fields that follow them."""

BRIEF = "brief"
"""The key in `extra` for the `Brief` of a record."""

_OWN_LOGGERS = "sprocket_grpc."

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
_quote = json.JSONEncoder(ensure_ascii=False).encode
_DELETE = "\x7f"
"""The only control character that JSON does not require to be escaped."""


def configure_logging(level: str, log_format: Literal["auto", "json", "text"]) -> None:
    """Log all records to standard error in a format.

    Args:
        level: The lowest level that is logged.
        log_format: `auto` is text on a terminal and JSON elsewhere.
    """
    is_terminal = sys.stderr.isatty()
    is_plain = is_terminal if log_format == "auto" else log_format == "text"
    handler = LineHandler()
    # Lines on a terminal are read now, and have no room for the date; others are kept.
    handler.setFormatter(PlainLines("%H:%M:%S" if is_terminal else "%Y-%m-%d %H:%M:%S") if is_plain else JsonLines())
    logging.basicConfig(level=level, handlers=[handler])
    # The formats do not use these, and collecting them takes time per record (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  # as the HOWTO documents


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger and message, then the additional fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return _encode(line).replace(_DELETE, _escaped(_DELETE))


class PlainLines(logging.Formatter):
    """A line of text per record: time, level and message, then fields as in logfmt; a traceback follows, indented.

    No text can look like another field or line, or act on a terminal. Values with blanks, `=` or quotes are JSON
    strings, as are messages with `=`, and all texts with characters that are not printable.
    """

    def __init__(self, time_format: str) -> None:
        """Create it with the format of local times, as `time.strftime` has it."""
        super().__init__("%(asctime)s %(levelname)s %(message)s", time_format)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging names it
        """Return the first line of a record."""
        fields, brief = _fields(record), getattr(record, BRIEF, None)
        if brief:
            words, fields = brief(fields)
            record.message = " ".join(map(_value, words))
        else:
            record.message = _source(record) + _message(record.message)
        pairs = (f"{key}={_value(str(value))}" for key, value in fields.items() if value != "")
        return " ".join([super().formatMessage(record), *pairs])

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401  # logging names it, and its stubs its type
        """Return a traceback, which may quote a caller."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging names it
        """Return a stack."""
        return _indented(super().formatStack(stack_info))


def _source(record: logging.LogRecord) -> str:
    """Return the logger of a record of a library. The messages of this package say what they are about."""
    return "" if record.name.startswith(_OWN_LOGGERS) else f"{record.name}: "


def _message(text: str) -> str:
    is_plain = text.isprintable() and "=" not in text and not text.startswith('"')
    return text if is_plain else _quoted(text)


def _value(text: str) -> str:
    is_plain = text.isprintable() and " " not in text and "=" not in text and '"' not in text
    return text if is_plain else _quoted(text)


def _quoted(text: str) -> str:
    """Return a JSON string in which only printable characters, of any language, are not escaped."""
    return "".join(map(_escaped, _quote(text)))


def _escaped(character: str) -> str:
    """Return a printable character as it is, and another one as JSON escapes it."""
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if character == _DELETE else _encode(character)[1:-1]


def _indented(text: str) -> str:
    return "\n".join("    " + "".join(map(_escaped, line)) for line in text.split("\n"))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the additional fields of a record, and the ids of its call and trace."""
    own: dict[str, object] = getattr(record, FIELDS, {})
    request_id, trace_id = current_caller().request_id, current_trace_id()
    call: dict[str, object] = {"request_id": request_id} if request_id else {}
    return {**call, "trace_id": trace_id, **own} if trace_id else {**call, **own}


def _rfc3339(seconds: float) -> str:
    whole = int(seconds)
    return f"{_to_the_second(whole)}.{int((seconds - whole) * 1000):03}Z"


@lru_cache(maxsize=2)
def _to_the_second(seconds: int) -> str:
    """Return a time in whole seconds, which many lines share."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
