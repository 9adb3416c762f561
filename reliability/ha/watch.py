"""Watches the health of a server as a load balancer does, and measures from calls how long writes were away."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from reliability.chaos.calls import Call
from reliability.chaos.client import Client

_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 5


class Outage(NamedTuple):
    """The longest time in which some clients got no answer, by a monotonic clock in seconds.

    Attributes:
        began: When the last call before it was answered.
        ended: When the first call after it was.
    """

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.began


def longest_outage(calls: Iterable[Call], clients: Iterable[Client], since: float) -> Outage:
    """Return the longest time in which none of the clients got an answer, of those that had not ended by `since`."""
    names = {client.name for client in clients}
    ends = sorted(call.ended for call in calls if call.client in names and call.code is grpc.StatusCode.OK)
    last = max((each for each in ends if each <= since), default=since)
    outages = [Outage(*pair) for pair in pairwise([last, *(each for each in ends if each > since)])]
    return max(outages, key=lambda each: each.seconds, default=Outage(since, since))


class HealthWatch:
    """Notes when the health of a server changes."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._changes: list[tuple[float, bool]] = []

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            health: Any = HealthStub(channel)  # its types support the blocking client only
            while True:
                self.note(await self._is_serving(health))
                await asyncio.sleep(_POLL_SECONDS)

    def unhealthy(self, since: float) -> Iterator[tuple[float, float]]:
        """Yield from when to when health was not SERVING, `inf` if it still is not, of what ended after `since`."""
        ends = [*self._changes[1:], (float("inf"), True)]
        for (began, is_serving), (ended, _) in zip(self._changes, ends, strict=False):
            if not is_serving and ended > since:
                yield began, ended

    def note(self, is_serving: bool) -> None:  # noqa: FBT001  # the only argument
        """Note what the server said now."""
        if not self._changes or self._changes[-1][1] != is_serving:
            self._changes.append((time.monotonic(), is_serving))

    async def _is_serving(self, health: Any) -> bool:  # noqa: ANN401  # see above
        try:
            answer = await health.Check(HealthCheckRequest(), timeout=_ANSWER_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == HealthCheckResponse.SERVING)
