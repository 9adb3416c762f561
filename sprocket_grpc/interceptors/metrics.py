"""Counts and times calls. Imported only if metrics are on.

Only methods that exist have series: a client can make up any number of names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.status import SERVER_ERRORS, Code
from sprocket_grpc.telemetry.histograms import Attributes, Histograms

# The buckets of the semantic conventions, and finer ones below 5 ms, where most calls are.
_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


@dataclass
class _Traffic:
    """The traffic of a method.

    Attributes:
        active: The calls in flight.
        received: The bytes of the requests of calls that have ended.
        sent: The bytes of their responses.
        responses: The number of those responses.
    """

    active: dict[int, Call] = field(default_factory=dict)
    received: int = 0
    sent: int = 0
    responses: int = 0


class CallMetrics:
    """Runs outside of the interceptor that turns errors into statuses.

    Attributes:
        refusals: Counts requests that never become calls.
    """

    def __init__(self, meter: Meter, histograms: Histograms) -> None:
        self._traffic: defaultdict[str, _Traffic] = defaultdict(_Traffic)
        self._lock = Lock()  # metrics are collected in threads
        self._duration = histograms.create("rpc.server.call.duration", "The duration of calls.", _BUCKETS)
        self._errors = meter.create_counter("sprocket.call.errors", "{call}", "Failed calls by reason.")
        self.refusals = RefusalMetrics(self._errors)
        self._uncounted = meter.create_counter(
            "sprocket.rate_limit.uncounted", "{call}", "Calls allowed without counting because Redis did not answer."
        )
        self._uncounted.add(0)  # so that the series exists before it happens
        self._observe(meter)

    def _observe(self, meter: Meter) -> None:
        meter.create_observable_up_down_counter(
            "sprocket.call.active", [self._each(_active)], "{call}", "Calls and streams in progress."
        )
        meter.create_observable_counter("sprocket.call.received", [self._each(_received)], "By", "Requests.")
        meter.create_observable_counter("sprocket.call.sent", [self._each(_sent)], "By", "Responses.")
        meter.create_observable_counter("sprocket.call.responses", [self._each(_responses)], "{response}", "Responses.")

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Count and time a call."""
        with self._lock:
            traffic = self._traffic[call.method]
            traffic.active[id(call)] = call
        try:
            return await call_next(call)
        finally:
            self._end(call, traffic)

    def _end(self, call: Call, traffic: _Traffic) -> None:
        with self._lock:
            del traffic.active[id(call)]
            traffic.received += call.request_bytes
            traffic.sent += call.response_bytes
            traffic.responses += call.responses
        self._duration.record(call.seconds, _attributes(call.method, call.status, call.transport.system))
        if call.reason:
            self._errors.add(1, {"rpc.method": call.method[1:], "sprocket.error.reason": call.reason})
        if call.is_uncounted:
            self._uncounted.add(1)

    def _each(self, look: Callable[[_Traffic], int]) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            with self._lock:
                values = [(method, look(traffic)) for method, traffic in self._traffic.items()]
            for method, value in values:
                yield Observation(value, {"rpc.method": method[1:]})

        return observe


class RefusalMetrics:
    """Counts requests that are refused before they are calls, by their reason: they are no calls of the server's."""

    def __init__(self, errors: Counter) -> None:
        self._errors = errors

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Count a request."""
        try:
            return await call_next(call)
        finally:
            self._errors.add(1, {"rpc.method": call.method[1:], "sprocket.error.reason": call.reason})


@cache
def _attributes(method: str, status: Code, system: str) -> Attributes:
    attributes = ("rpc.system.name", system), ("rpc.method", method[1:]), ("rpc.response.status_code", status.name)
    return (*attributes, ("error.type", status.name)) if status in SERVER_ERRORS else attributes


def _active(traffic: _Traffic) -> int:
    return len(traffic.active)


def _received(traffic: _Traffic) -> int:
    return traffic.received + sum(call.request_bytes for call in traffic.active.values())


def _sent(traffic: _Traffic) -> int:
    return traffic.sent + sum(call.response_bytes for call in traffic.active.values())


def _responses(traffic: _Traffic) -> int:
    return traffic.responses + sum(call.responses for call in traffic.active.values())
