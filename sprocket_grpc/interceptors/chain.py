"""Runs the RPCs within the interceptors, the first outermost.

The interceptors run as soon as the headers of a call have arrived. Its message is read behind them, so that a caller
who is refused costs neither the memory nor the time of a message.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import uuid_utils
from google.protobuf.message import Message

from sprocket_grpc.caller import Caller, set_caller
from sprocket_grpc.errors import MalformedRequestError, SprocketError
from sprocket_grpc.interceptors.arrivals import Arrivals
from sprocket_grpc.interceptors.call import REQUEST_ID_KEY, Call, CallNext, Interceptor
from sprocket_grpc.interceptors.transport import Transport
from sprocket_grpc.telemetry.trace_context import TRACEPARENT_KEY, read_trace_id, set_trace_id

_LONGEST_REQUEST_ID = 128


@dataclass(frozen=True)
class Rpc:
    """A method and the code that answers it.

    Attributes:
        method: Its full name, such as `/sprocket.v1.FactoryService/GetFactory`.
        request_type: The type of its requests.
        answer: Its code. It takes a request, or an iterator over many, and None, where gRPC passes a context. It
            returns a response, or an iterator over many.
        is_stream: Whether it has many responses.
        takes_stream: Whether it takes many requests.
        request_bytes_maximum: The largest request in bytes.
    """

    method: str
    request_type: type[Message]
    answer: Callable[[Any, None], Any]
    is_stream: bool
    takes_stream: bool
    request_bytes_maximum: int


Answer: TypeAlias = Callable[[Transport], Awaitable[Any]]
"""Answers a call: returns the response, or sends many and returns None."""


class InterceptorChain:
    """Puts interceptors around RPCs."""

    def __init__(self, interceptors: Sequence[Interceptor], arrivals: Arrivals) -> None:
        """Put interceptors, the outermost first, around RPCs whose requests are received by `arrivals`."""
        self._interceptors = interceptors
        self._arrivals = arrivals

    def around(self, rpc: Rpc) -> Answer:
        """Return an RPC within the interceptors."""
        call_next = _within(self._interceptors, self._answering(rpc))

        async def answer(transport: Transport) -> Any:  # noqa: ANN401  # any message
            call = _begin(rpc.method, transport, is_stream=rpc.is_stream)
            transport.on_end(call.end)
            return await call_next(call)

        async def answer_stream(transport: Transport) -> None:
            call = _begin(rpc.method, transport, is_stream=rpc.is_stream)
            try:
                await call_next(call)
            finally:
                call.end()

        return answer_stream if rpc.is_stream else answer

    def _answering(self, rpc: Rpc) -> CallNext:
        receive = self._receive_many if rpc.takes_stream else self._receive_one

        async def return_response(call: Call) -> Any:  # noqa: ANN401  # any message
            response = await rpc.answer(await receive(call, rpc), None)
            call.count(response)
            return response

        async def send_responses(call: Call) -> None:
            # A generator that is left alone is closed by the garbage collector, late and in any task.
            async with aclosing(rpc.answer(await receive(call, rpc), None)) as responses:
                async for response in responses:
                    call.count(response)
                    await call.transport.send(response)

        return send_responses if rpc.is_stream else return_response

    async def _receive_one(self, call: Call, rpc: Rpc) -> Message:
        message = await self._receive(call, rpc)
        if message is None:
            raise MalformedRequestError(rpc.method)
        return message

    async def _receive_many(self, call: Call, rpc: Rpc) -> AsyncIterator[Message]:
        return self._requests(call, rpc)

    async def _requests(self, call: Call, rpc: Rpc) -> AsyncGenerator[Message]:
        while (message := await self._receive(call, rpc)) is not None:
            yield message

    async def _receive(self, call: Call, rpc: Rpc) -> Message | None:
        received = await self._arrivals.receive(call.holder, partial(call.transport.receive, rpc.request_type))
        if received is None:
            return None
        call.request_bytes += received.size
        return received.message


async def refuse(method: str, transport: Transport, error: SprocketError, interceptors: Sequence[Interceptor]) -> None:
    """End a request, which never becomes a call of its method, with an error within some interceptors."""

    async def raise_error(_: Call) -> None:
        raise error

    await _within(interceptors, raise_error)(_begin(method, transport, is_stream=False))


def _within(interceptors: Sequence[Interceptor], call_next: CallNext) -> CallNext:
    for interceptor in reversed(interceptors):
        call_next = partial(interceptor.intercept, call_next=call_next)
    return call_next


def _begin(method: str, transport: Transport, *, is_stream: bool) -> Call:
    metadata = transport.metadata
    request_id = _request_id(metadata.get(REQUEST_ID_KEY))
    trace_id = read_trace_id(metadata.get(TRACEPARENT_KEY))
    transport.add_trailer(REQUEST_ID_KEY, request_id)
    set_caller(Caller(request_id=request_id, method=method))
    set_trace_id(trace_id)
    return Call(method, transport, request_id, is_stream, trace_id=trace_id)


def _request_id(given: str | bytes | None) -> str:
    """Return the request id that the client or a proxy sent, if it is printable ASCII; otherwise a new one."""
    if isinstance(given, str) and 0 < len(given) <= _LONGEST_REQUEST_ID and given.isprintable() and given.isascii():
        return given
    return str(uuid_utils.uuid7())
