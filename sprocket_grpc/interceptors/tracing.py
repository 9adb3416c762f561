"""A span for every sampled call, as a child of the caller's span. Imported only if traces are on.

The caller decides whether a call is sampled (W3C Trace Context); of calls without a decision, a ratio is. This module
decides before it calls the library, which takes twenty times as long for a call that is not sampled.
"""

import random
from typing import Any
from urllib.parse import unquote

from opentelemetry import context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.status import SERVER_ERRORS
from sprocket_grpc.telemetry.trace_context import TRACEPARENT_KEY, is_sampled, set_trace_id

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Runs outside of everything that logs, so that log lines have the trace id."""

    def __init__(self, tracer: Tracer, sample_ratio: float) -> None:
        self._tracer = tracer
        self._sample_ratio = sample_ratio

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Trace a call if it is sampled."""
        if not self._is_sampled(call):
            return await call_next(call)
        span = self._begin(call)
        try:
            return await call_next(call)
        finally:
            _end(span, call)

    def _is_sampled(self, call: Call) -> bool:
        if call.trace_id:
            return is_sampled(call.metadata[TRACEPARENT_KEY])
        return random.random() < self._sample_ratio  # noqa: S311  # no secret

    def _begin(self, call: Call) -> Span:
        caller = _propagator.extract(call.metadata)
        span = self._tracer.start_span(call.method[1:], caller, SpanKind.SERVER, _attributes(call))
        call.trace_id = format_trace_id(span.get_span_context().trace_id)
        set_trace_id(call.trace_id)
        # Never detached: the task ends with the call.
        context.attach(set_span_in_context(span))
        return span


def _attributes(call: Call) -> dict[str, str | int]:
    scheme, _, address = unquote(call.transport.peer).partition(":")
    host, _, port = address.rpartition(":")
    peer: dict[str, str | int] = (
        {"network.peer.address": host.strip("[]"), "network.peer.port": int(port)} if scheme in {"ipv4", "ipv6"} else {}
    )
    return {
        "rpc.system.name": call.transport.system,
        "rpc.method": call.method[1:],
        "sprocket.request_id": call.request_id,
        **peer,
    }


def _end(span: Span, call: Call) -> None:
    span.set_attribute("rpc.response.status_code", call.status.name)
    span.set_attribute("sprocket.principal", call.principal)
    if call.reason:
        span.set_attribute("sprocket.error.reason", call.reason)
    if call.status in SERVER_ERRORS:
        span.set_attribute("error.type", call.status.name)
        span.set_status(StatusCode.ERROR)
    span.end()
