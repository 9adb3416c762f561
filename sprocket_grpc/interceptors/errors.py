"""Turns exceptions into statuses: the only place that aborts a call.

What is not one of our errors becomes INTERNAL, and only the log says more.
"""

import asyncio
import logging
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from sprocket_grpc import errors
from sprocket_grpc.interceptors.call import REQUEST_ID_KEY, Call, CallNext
from sprocket_grpc.interceptors.status import to_status

_log = logging.getLogger(__name__)

# A client leaves at its own deadline. Ours is later: it was on its way, and gRPC rounds it up by as much as 1 %.
_DEADLINE_IS_LATE = 0.02


class ErrorMapping:
    """Guards the handlers, and the interceptors within it."""

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Give a call that fails its status."""
        try:
            return await call_next(call)
        except asyncio.CancelledError:
            call.status = _status_of_cancelled(call)
            raise
        except Exception as error:  # whatever it is, the client gets a status
            await _abort(call, error)


def _status_of_cancelled(call: Call) -> grpc.StatusCode:
    """Tell a deadline that has passed from a client that has gone."""
    remaining: float | None = call.context.time_remaining()  # None without a deadline, whatever its stubs say
    if remaining is None or remaining > _DEADLINE_IS_LATE * (call.seconds + remaining):
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.DEADLINE_EXCEEDED


async def _abort(call: Call, error: Exception) -> NoReturn:
    known = error if isinstance(error, errors.SprocketError) else _unexpected(call, error)
    status = rpc_status.to_status(to_status(known, call.request_id))
    call.status, call.reason = status.code, known.reason
    metadata = (*status.trailing_metadata, (REQUEST_ID_KEY, call.request_id))
    await call.context.abort(status.code, status.details, metadata)


def _unexpected(call: Call, error: Exception) -> errors.InternalError:
    _log.error("request %s failed", call.request_id, exc_info=error)
    return errors.InternalError(call.request_id)
