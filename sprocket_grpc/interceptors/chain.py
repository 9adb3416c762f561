"""Puts the interceptors around every handler of the contract, the first outermost.

Health and reflection have none: they must answer when everything else fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import grpc
import uuid_utils
from google.protobuf.message import DecodeError

from sprocket_grpc.caller import Caller, set_caller
from sprocket_grpc.errors import MalformedRequestError
from sprocket_grpc.interceptors.call import REQUEST_ID_KEY, Call, CallNext, Interceptor
from sprocket_grpc.services import Context
from sprocket_grpc.telemetry.trace_context import TRACEPARENT_KEY, read_trace_id, set_trace_id

_OUR_METHODS = "/sprocket."

_LONGEST_REQUEST_ID = 128

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # quoted: generic in its stubs only


class _Received(NamedTuple):
    """A request that has arrived.

    Attributes:
        message: The message, or the error why it could not be decoded.
        size: Its size in bytes.
    """

    message: Any
    size: int


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Runs handlers within interceptors."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the wrapped handler of a method of the contract; a method has the same handler at every call."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(_OUR_METHODS):
            return handler  # not cached: a client can make up any number of names
        self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Any) -> Handler:  # noqa: ANN401  # gRPC does not say
        serialize, decode = handler.response_serializer, _decoder(method, handler.request_deserializer)
        if handler.response_streaming:
            call_next = self._within_interceptors(method, _sending(handler.unary_stream), is_stream=True)
            return grpc.unary_stream_rpc_method_handler(call_next, decode, serialize)
        call_next = self._within_interceptors(method, _returning(handler.unary_unary), is_stream=False)
        return grpc.unary_unary_rpc_method_handler(call_next, decode, serialize)

    def _within_interceptors(
        self, method: str, call_next: CallNext, *, is_stream: bool
    ) -> Callable[[_Received, Context], Awaitable[Any]]:
        for interceptor in reversed(self._interceptors):
            call_next = partial(interceptor.intercept, call_next=call_next)

        async def handle_within(request: _Received, context: Context) -> Any:  # noqa: ANN401  # any message
            return await call_next(_begin(method, request, context, is_stream=is_stream))

        return handle_within


def _begin(method: str, request: _Received, context: Context, *, is_stream: bool) -> Call:
    metadata = dict(context.invocation_metadata() or ())
    request_id = _request_id(metadata.get(REQUEST_ID_KEY))
    trace_id = read_trace_id(metadata.get(TRACEPARENT_KEY))
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
    set_caller(Caller(request_id=request_id, method=method))
    set_trace_id(trace_id)
    return Call(
        method, metadata, context, *request, request_id, is_stream=is_stream, peer=context.peer(), trace_id=trace_id
    )


def _returning(behaviour: Any) -> CallNext:  # noqa: ANN401  # gRPC does not say
    async def call_next(call: Call) -> Any:  # noqa: ANN401  # any message
        response = await behaviour(_message(call), call.context)
        call.count(response)
        return response

    return call_next


def _sending(behaviour: Any) -> CallNext:  # noqa: ANN401  # gRPC does not say
    # gRPC leaves a generator to the garbage collector when the client disconnects, which ends it late and in any task.
    async def call_next(call: Call) -> None:
        async with aclosing(behaviour(_message(call), call.context)) as responses:
            async for response in responses:
                call.count(response)
                await _write(call.context, response)

    return call_next


async def _write(context: Context, response: Any) -> None:  # noqa: ANN401  # any message
    try:
        await context.write(response)
    except grpc.aio.InternalError:
        # The client has disconnected, and gRPC is about to cancel the call.
        raise asyncio.CancelledError from None


def _message(call: Call) -> Any:  # noqa: ANN401  # any message
    if isinstance(call.request, MalformedRequestError):
        raise call.request
    return call.request


def _decoder(method: str, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], _Received]:
    """Pass a request that cannot be decoded on as an error: gRPC itself would answer INTERNAL."""

    def decode(data: bytes) -> _Received:
        try:
            return _Received(deserialize(data) if deserialize else data, len(data))
        except DecodeError:
            return _Received(MalformedRequestError(method), len(data))

    return decode


def _request_id(given: str | bytes | None) -> str:
    """Return the request id that the client or a proxy sent, if it is printable ASCII; otherwise a new one."""
    if isinstance(given, str) and 0 < len(given) <= _LONGEST_REQUEST_ID and given.isprintable() and given.isascii():
        return given
    return str(uuid_utils.uuid7())
