"""A log line for every call that has ended: its method, principal, status, duration and sizes.

It never contains messages, tokens or keys. Of calls that are refused, some are logged, so that a flood of them costs
neither time nor disk; the metric `sprocket.call.errors` counts all.
"""

import logging
import time
from collections.abc import Set as AbstractSet
from typing import Any

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.telemetry.logs import BRIEF, FIELDS, Fields

REFUSED_LINES = 10
"""The largest number of lines a second for the refused calls of one caller with one reason."""

_MOST_SAMPLES = 1000
"""The callers and reasons that are sampled at a time, oldest first out."""

_REFUSED = frozenset({Code.RESOURCE_EXHAUSTED, Code.UNAUTHENTICATED})

_SHOWN = ("refused_without_line", "request_id", "trace_id")
"""The fields that a terminal shows beside the words of a line; the ids are last, because they are long."""

_SHOWN_WHOLE_MS = 10
"""The shortest duration that a terminal shows without decimals."""

EVERY_CODE = frozenset(Code)

_log = logging.getLogger("sprocket_grpc.access")


class AccessLog:
    """Writes the line. It runs outermost, so that it knows the status."""

    def __init__(self, refused: AbstractSet[Code] = _REFUSED) -> None:
        """Create it with the statuses of calls that are refused, of which only some are logged."""
        self._refused = refused
        self._samples: dict[tuple[str, str], _Sample] = {}

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Log a call once it has ended."""
        try:
            return await call_next(call)
        finally:
            if _log.isEnabledFor(logging.INFO):
                self._write(call)

    def _write(self, call: Call) -> None:
        fields = {}
        if call.status in self._refused:
            sample = self._sample_of(call.reason, call.holder)
            if not sample.takes(time.monotonic()):
                return
            fields = sample.left_out()
        _log.info("%s %s", call.method, call.status.name, extra={FIELDS: _describe(call) | fields, BRIEF: shorten})

    def _sample_of(self, reason: str, holder: str) -> "_Sample":
        if (reason, holder) not in self._samples and len(self._samples) >= _MOST_SAMPLES:
            del self._samples[next(iter(self._samples))]
        return self._samples.setdefault((reason, holder), _Sample())


class _Sample:
    """Which of the refused calls of one caller with one reason are logged."""

    def __init__(self) -> None:
        self._second = 0.0
        self._taken = 0
        self._left_out = 0

    def takes(self, now: float) -> bool:
        """Whether the next call is logged: a number of them in each second."""
        if now - self._second >= 1:
            self._second, self._taken = now, 0
        self._taken += 1
        is_taken = self._taken <= REFUSED_LINES
        self._left_out += not is_taken
        return is_taken

    def left_out(self) -> dict[str, object]:
        """Return the number of calls that were not logged since the last line, as a field if there are any."""
        count, self._left_out = self._left_out, 0
        return {"refused_without_line": count} if count else {}


def shorten(fields: Fields) -> tuple[list[str], Fields]:
    """Return what a terminal shows of a call: method, code, duration, principal, and the ids to search for.

    The method has no package, which all have in common.
    """
    service, _, method = str(fields["method"]).rpartition("/")
    milliseconds = float(str(fields["duration_ms"]))
    words = [
        f"{service.rpartition('.')[2]}/{method}".removeprefix("/"),  # a path that is no method has no service
        str(fields["code"]),
        f"{milliseconds:.{0 if milliseconds >= _SHOWN_WHOLE_MS else 1}f}",
        "ms",
        str(fields["principal"]),
    ]
    return words, {key: fields[key] for key in _SHOWN if key in fields}


def _describe(call: Call) -> dict[str, object]:
    return {
        "method": call.method,
        "code": call.status.name,
        "duration_ms": round(call.seconds * 1000, 3),
        "principal": call.principal,
        "request_id": call.request_id,
        "trace_id": call.trace_id,
        "peer": call.transport.peer,
        "request_bytes": call.request_bytes,
        "response_bytes": call.response_bytes,
        "responses": call.responses,
    }
