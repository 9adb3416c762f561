"""Puts concerns around every handler of ours, the first outermost: one wrapper per call, however many they are.

Health and reflection go without: they have to answer when nothing else does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import grpc
import uuid_utils
from google.protobuf.message import DecodeError

from sprocket_grpc.caller import Caller, current_caller, set_caller
from sprocket_grpc.errors import MalformedRequestError
from sprocket_grpc.interceptors.call import REQUEST_ID_KEY, Call, Concern
from sprocket_grpc.services import Context
from sprocket_grpc.telemetry.trace_id import TRACEPARENT_KEY, read_trace_id, set_trace_id

_OUR_METHODS = "/sprocket."

_LONGEST_REQUEST_ID = 128

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # quoted: generic in its stubs only


class _Received(NamedTuple):
    """A request that has arrived.

    Attributes:
        message: The message, or why it is none.
        size: How many bytes it had.
    """

    message: Any
    size: int

    def get(self) -> Any:  # noqa: ANN401  # any message
        """Return the message.

        Raises:
            MalformedRequestError: It is none.
        """
        if isinstance(self.message, MalformedRequestError):
            raise self.message
        return self.message


class ConcernInterceptor(grpc.aio.ServerInterceptor):
    """Runs handlers within concerns."""

    def __init__(self, concerns: Sequence[Concern]) -> None:
        self._concerns = concerns
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call, if it is one of ours. A method has the same handler at every call."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(_OUR_METHODS):
            return handler  # nothing is kept, for anyone can make up names
        self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Any) -> Handler:  # noqa: ANN401  # gRPC does not say
        serialize, decode = handler.response_serializer, _decoder(method, handler.request_deserializer)
        if handler.response_streaming:
            stream = self._around_stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, decode, serialize)
        unary = self._around_unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, decode, serialize)

    def _around_unary(self, method: str, behaviour: Any) -> Callable[[Any, Context], Awaitable[Any]]:  # noqa: ANN401  # as above
        async def unary(request: _Received, context: Context) -> Any:  # noqa: ANN401  # any message
            async with self._around(method, request, context) as call:
                response = await behaviour(request.get(), context)
                call.count(response)
                return response

        return unary

    def _around_stream(self, method: str, behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:  # noqa: ANN401  # as above
        async def stream(request: _Received, context: Context) -> AsyncIterator[Any]:
            async with (
                self._around(method, request, context, is_stream=True) as call,
                aclosing(behaviour(request.get(), context)) as responses,
            ):
                async for response in responses:
                    call.count(response)
                    yield response

        return stream

    @asynccontextmanager
    async def _around(
        self, method: str, request: _Received, context: Context, *, is_stream: bool = False
    ) -> AsyncIterator[Call]:
        metadata = dict(context.invocation_metadata() or ())
        request_id = _request_id(metadata.get(REQUEST_ID_KEY))
        trace_id = read_trace_id(metadata.get(TRACEPARENT_KEY))
        call = Call(
            method, metadata, context, request_id, request.size, is_stream, peer=context.peer(), trace_id=trace_id
        )
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        set_caller(Caller(request_id=request_id, method=method))
        set_trace_id(trace_id)
        async with AsyncExitStack() as stack:
            try:
                for concern in self._concerns:
                    await stack.enter_async_context(concern.around(call))
            finally:  # now, for a stream that its client leaves may end in another task, which knows no caller
                call.principal = current_caller().principal
            yield call


def _decoder(method: str, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], _Received]:
    """Let a request that cannot be decoded through as an error; gRPC itself would answer INTERNAL."""

    def decode(data: bytes) -> _Received:
        try:
            return _Received(deserialize(data) if deserialize else data, len(data))
        except DecodeError:
            return _Received(MalformedRequestError(method), len(data))

    return decode


def _request_id(given: str | bytes | None) -> str:
    """Take the id that the client or a proxy gave the request, if it can stand in a log; or else make one."""
    if isinstance(given, str) and 0 < len(given) <= _LONGEST_REQUEST_ID and given.isprintable() and given.isascii():
        return given
    return str(uuid_utils.uuid7())
