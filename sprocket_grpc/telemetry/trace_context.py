"""The trace that the current call belongs to, even if its spans are not recorded here."""

import re
from contextvars import ContextVar

# W3C Trace Context, version 00 and later.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

TRACEPARENT_KEY = "traceparent"
"""The metadata key of the W3C trace context."""

_SAMPLED = 1

_TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")


def current_trace_id() -> str:
    """Return the trace id of the current call, or an empty string."""
    return _TRACE_ID.get()


def set_trace_id(trace_id: str) -> None:
    """Set the trace id of the current call; other calls are not affected."""
    _TRACE_ID.set(trace_id)


def read_trace_id(traceparent: str | bytes | None) -> str:
    """Return the trace id of a `traceparent` header, or an empty string if the header is missing or invalid."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return match[1] if match else ""


def is_sampled(traceparent: str | bytes) -> bool:
    """Whether the sampled flag of a valid `traceparent` header is set."""
    return bool(int(traceparent[53:55], 16) & _SAMPLED)
