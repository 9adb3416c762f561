"""Limits the calls in flight: a call over a limit is refused immediately, so that the client can try another replica.

Streams have a limit of their own: those that follow charts stay open for hours at almost no cost, and neither kind may
exhaust the limit of the other.
"""

from collections.abc import Callable
from typing import Any

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.slots import Slots


class ConcurrencyLimit:
    """Runs before everything that costs, and inside the interceptor that turns errors into statuses."""

    def __init__(self, calls: Slots, streams: Slots, holder_of: Callable[[Call], str]) -> None:
        """Limit calls and streams.

        Args:
            calls: The slots of calls with one response.
            streams: The slots of streams.
            holder_of: Returns who holds the slot of a call.
        """
        self._calls = calls
        self._streams = streams
        self._holder_of = holder_of

    async def intercept(self, call: Call, call_next: CallNext) -> Any:  # noqa: ANN401  # any message
        """Hold a slot while the call runs.

        Raises:
            OverloadedError: All slots are taken.
            PrincipalLimitError: The holder has its share of them.
        """
        slots, holder = self._streams if call.is_stream else self._calls, self._holder_of(call)
        slots.take(holder)
        try:
            return await call_next(call)
        finally:
            slots.release(holder)


def everyone(_: Call) -> str:
    """Let all calls have one holder: the limit is that of the server."""
    return ""


def principal(call: Call) -> str:
    """Let the authenticated caller hold the slots of its calls."""
    return call.principal


def address(call: Call) -> str:
    """Let the network address of the caller hold the slots, where callers are not authenticated."""
    return network_address(call.transport.peer)


def network_address(peer: str) -> str:
    """Return the address of a peer without its port; of IPv6 the network, since one caller has all addresses in it.

    Args:
        peer: Such as `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711` or `unix:`.
    """
    host = peer.rpartition(":")[0] or peer
    return ":".join(host.split(":")[:5]) if host.startswith("ipv6:") else host
