"""A call, as the interceptors around all handlers see it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from grpc import StatusCode

from sprocket_grpc.caller import ANONYMOUS
from sprocket_grpc.services import Context

REQUEST_ID_KEY = "x-request-id"
"""The metadata that carries a request id in and out."""


@dataclass(slots=True)
class Call:
    """One call, from its headers to its status.

    Attributes:
        method: Its full name, such as `/sprocket.v1.FactoryService/GetFactory`.
        metadata: What the client sent with it, by lower-case keys; of several values for one key, the last.
        context: What gRPC says about it.
        request: Its message, or why it is none.
        request_bytes: The size of the request.
        request_id: The id under which logs, traces and errors speak of it.
        is_stream: Whether it may have many responses.
        status: How it ended, as far as it has.
        response_bytes: The size of the responses so far.
        responses: How many responses there were so far.
        peer: Where it comes from. Do not ask the context: once the call has ended, that crashes the process.
        principal: Who makes it, as far as that is known.
        trace_id: The trace it belongs to, if any.
        reason: Why it failed, as the client is told; a value of `sprocket.v1.ErrorReason`. Empty if it did not.
        is_uncounted: Whether the rate limit let it through because nobody could count it.
        began: When it began, by a clock that never goes back.
    """

    method: str
    metadata: Mapping[str, str | bytes]
    context: Context
    request: Any
    request_bytes: int
    request_id: str
    is_stream: bool = False
    status: StatusCode = StatusCode.OK
    response_bytes: int = 0
    responses: int = 0
    peer: str = ""
    principal: str = ANONYMOUS
    trace_id: str = ""
    reason: str = ""
    is_uncounted: bool = False
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.began

    def count(self, response: Any) -> None:  # noqa: ANN401  # any message
        """Count a response."""
        self.responses += 1
        self.response_bytes += response.ByteSize()


CallNext: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Calls the next interceptor, or the handler. It returns the response, and None for those of a stream."""


class Interceptor(Protocol):
    """Something that holds for every call, whatever it is about."""

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Have a call handled, and return the response; to refuse the call, raise one of `sprocket_grpc.errors`."""
