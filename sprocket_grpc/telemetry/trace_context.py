"""The trace that the present call belongs to, whether or not we add to it."""

import re
from contextvars import ContextVar

# W3C Trace Context, version 00 and those to come.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

TRACEPARENT_KEY = "traceparent"
"""The metadata that says which trace a call belongs to."""

_SAMPLED = 1

_TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")


def current_trace_id() -> str:
    """Return the id of the trace of the present call; empty if it has none."""
    return _TRACE_ID.get()


def set_trace_id(trace_id: str) -> None:
    """Say which trace the present call belongs to; other calls do not see it."""
    _TRACE_ID.set(trace_id)


def read_trace_id(traceparent: str | bytes | None) -> str:
    """Return the trace id of a `traceparent` header; empty if there is none."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return match[1] if match else ""


def is_sampled(traceparent: str | bytes) -> bool:
    """Whether the caller traces the call, and so wants us to, by a valid `traceparent` header."""
    return bool(int(traceparent[53:55], 16) & _SAMPLED)
