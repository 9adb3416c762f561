"""A log line for every call that has ended: its method, principal, status, duration and sizes.

It never contains messages, tokens or keys.
"""

import logging
from typing import Any

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.telemetry.logs import FIELDS

_log = logging.getLogger("sprocket_grpc.access")


class AccessLog:
    """Writes the line. It runs outermost, so that it knows the status."""

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Log a call once it has ended."""
        try:
            return await call_next(call)
        finally:
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s %s", call.method, call.status.name, extra={FIELDS: _describe(call)})


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
