"""Turns exceptions into statuses: the only place that aborts a call.

An exception that is not a `SprocketError` becomes INTERNAL, and only the log has its details.
"""

import asyncio
import logging
from typing import Any, NoReturn

from sprocket_grpc import errors
from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.status import Code, to_status

_log = logging.getLogger(__name__)

# The server sees a deadline later than its client does: by the time on the network, and gRPC rounds up by up to 1 %.
_DEADLINE_IS_LATE = 0.02


class ErrorMapping:
    """Runs outside of everything that raises, and inside the interceptors that need the status."""

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Abort a call that fails with its status."""
        try:
            return await call_next(call)
        except asyncio.CancelledError:
            call.status = _status_of_cancelled(call)
            raise
        except Exception as error:  # every failure gets a status
            await _abort(call, error)


def _status_of_cancelled(call: Call) -> Code:
    """Distinguish a deadline that has passed from a client that has disconnected."""
    remaining = call.transport.seconds_left
    if remaining is None or remaining > _DEADLINE_IS_LATE * (call.seconds + remaining):
        return Code.CANCELLED
    return Code.DEADLINE_EXCEEDED


async def _abort(call: Call, error: Exception) -> NoReturn:
    known = error if isinstance(error, errors.SprocketError) else _unexpected(call, error)
    status = to_status(known, call.request_id)
    call.status, call.reason = Code(status.code), known.reason
    await call.transport.abort(status)


def _unexpected(call: Call, error: Exception) -> errors.InternalError:
    _log.error("request %s failed", call.request_id, exc_info=error)
    return errors.InternalError(call.request_id)
