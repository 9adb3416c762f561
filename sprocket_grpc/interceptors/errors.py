"""Turns exceptions into statuses: the only place that aborts a call.

What is not one of our errors becomes INTERNAL with a request id, and only the log says more.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
import uuid_utils
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from sprocket_grpc import errors
from sprocket_grpc.interceptors.status import to_status
from sprocket_grpc.services import Context

_OUR_METHODS = "/sprocket."

_log = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # quoted: generic in its stubs only


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Guards our handlers. It comes first, so that it sees what the other interceptors raise too."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call, if it is one of ours."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OUR_METHODS):
            return handler
        guard, make = (
            (_guarded_stream(handler.unary_stream), grpc.unary_stream_rpc_method_handler)
            if handler.response_streaming
            else (_guarded_unary(handler.unary_unary), grpc.unary_unary_rpc_method_handler)
        )
        return make(guard, _decoder(method, handler.request_deserializer), handler.response_serializer)


def _guarded_unary(behaviour: Any) -> Callable[[Any, Context], Awaitable[Any]]:  # noqa: ANN401  # gRPC does not say
    async def guarded(request: Any, context: Context) -> Any:  # noqa: ANN401  # any message
        try:
            return await behaviour(_decoded(request), context)
        except Exception as error:  # whatever it is, the client gets a status
            await _abort(context, error)

    return guarded


def _guarded_stream(behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:  # noqa: ANN401  # as above
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401  # any message
        try:
            async with aclosing(behaviour(_decoded(request), context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:  # as above
            await _abort(context, error)

    return guarded


def _decoder(method: str, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], object]:
    """Let a request that cannot be decoded through as an error; gRPC itself would answer INTERNAL."""

    def decode(data: bytes) -> object:
        try:
            return deserialize(data) if deserialize else data
        except DecodeError:
            return errors.MalformedRequestError(method)

    return decode


def _decoded(request: object) -> object:
    if isinstance(request, errors.MalformedRequestError):
        raise request
    return request


async def _abort(context: Context, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error  # has its status already
    known = error if isinstance(error, errors.SprocketError) else _unexpected(error)
    status = rpc_status.to_status(to_status(known))
    await context.abort(status.code, status.details, status.trailing_metadata)


def _unexpected(error: Exception) -> errors.InternalError:
    request_id = str(uuid_utils.uuid7())
    _log.error("request %s failed", request_id, exc_info=error)
    return errors.InternalError(request_id)
