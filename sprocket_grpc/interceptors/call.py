"""A call, as interceptors see it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote

from sprocket_grpc.caller import ANONYMOUS
from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.interceptors.transport import Transport

_NETWORK_BITS = {"ipv4": 32, "ipv6": 64}

REQUEST_ID_KEY = "x-request-id"
"""The metadata that carries a request id in and out."""


@dataclass(slots=True)
class Call:
    """One call, from its headers to its status.

    Attributes:
        method: Its full name, such as `/sprocket.v1.FactoryService/GetFactory`.
        transport: The connection to the caller.
        request_id: The id under which logs, traces and errors speak of it.
        is_stream: Whether it may have many responses.
        status: The code of the status it ended with; OK until then.
        request_bytes: The size of the request, in bytes; 0 until it has arrived.
        response_bytes: The size of the responses so far, in bytes.
        responses: The number of responses so far.
        principal: Who makes it; anonymous until the caller is authenticated.
        trace_id: The trace it belongs to, if any.
        reason: Why it failed, a value of `sprocket.v1.ErrorReason`; empty if it succeeded.
        is_uncounted: Whether the rate limit let it through uncounted, since Redis did not answer.
        began: When it began, by a monotonic clock.
        ends: Called once it has ended and its last response has left, which is after the interceptors have returned.
    """

    method: str
    transport: Transport
    request_id: str
    is_stream: bool = False
    status: Code = Code.OK
    request_bytes: int = 0
    response_bytes: int = 0
    responses: int = 0
    principal: str = ANONYMOUS
    trace_id: str = ""
    reason: str = ""
    is_uncounted: bool = False
    began: float = field(default_factory=time.perf_counter)
    ends: list[Callable[[], None]] = field(default_factory=list)

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The headers of the caller, by lower-case names."""
        return self.transport.metadata

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.began

    @property
    def holder(self) -> str:
        """Who has what the call takes: its caller, or the network address of one who is not authenticated."""
        return network_address(self.transport.peer) if self.principal == ANONYMOUS else self.principal

    def end(self) -> None:
        """Give back what it has taken."""
        while self.ends:
            self.ends.pop()()

    def count(self, response: Any) -> None:  # noqa: ANN401  # any message
        """Count a response."""
        self.responses += 1
        self.response_bytes += response.ByteSize()


@lru_cache(maxsize=10_000)
def network_address(peer: str) -> str:
    """Return the address of a peer without its port; of IPv6 the network, since one caller has all addresses in it.

    Args:
        peer: Such as `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711` or `unix:`.
    """
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        network = ip_network((host, _NETWORK_BITS[kind]), strict=False)
    except (KeyError, ValueError):
        return kind
    return f"{kind}:{network.network_address}"


CallNext: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Calls the next interceptor, or the handler. It returns the response, and None for those of a stream."""


class Interceptor(Protocol):
    """Code around every call."""

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Handle a call by `call_next`, and return the response; to refuse it, raise one of `sprocket_grpc.errors`."""
