"""What the clients' calls came to: statuses, and when each began and ended, by a monotonic clock in seconds."""

import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from grpc import StatusCode

RETRIED = {
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.ABORTED,
    StatusCode.RESOURCE_EXHAUSTED,
}
"""The statuses that a fault may have for a client, which repeats the call then."""

_STREAMS = {"GetFactoryChart", "FollowFactoryCharts"}


class Call(NamedTuple):
    """A call that has ended.

    Attributes:
        client: The name of the client.
        method: The name of the method, such as GetSprocket.
        code: The status.
        details: The text of the error; empty for OK.
        began: When it began.
        ended: When it ended.
    """

    client: str
    method: str
    code: StatusCode
    details: str
    began: float
    ended: float

    @property
    def is_unary(self) -> bool:
        """Whether it has one response, so that it must not last."""
        return self.method not in _STREAMS

    def seconds_outside(self, begin: float, end: float) -> float:
        """Return how long the call took, less the time that it shared with a fault from `begin` to `end`."""
        shared = min(self.ended, end) - max(self.began, begin)
        return self.ended - self.began - max(0.0, shared)


class Calls:
    """The calls since the last `take`."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, client: str, method: str, code: StatusCode, details: str, began: float) -> None:
        """Note a call that ends now."""
        self._calls.append(Call(client, method, code, details, began, time.monotonic()))

    def take(self) -> list[Call]:
        """Return the calls, and begin anew."""
        taken, self._calls = self._calls, []
        return taken

    def has_fast(self, client: str, since: float, seconds: float) -> bool:
        """Whether a client made a call after `since` that was answered within `seconds`."""
        return any(
            call.client == client and call.code is StatusCode.OK and call.ended - call.began <= seconds
            for call in reversed(self._calls)
            if call.began >= since
        )


def longest_outage(calls: Iterable[Call], since: float) -> float:
    """Return the longest time after `since`, in seconds, that any client went without an answer."""
    answered: defaultdict[str, list[float]] = defaultdict(lambda: [since])
    for call in calls:
        if call.code is StatusCode.OK and call.ended > since:
            answered[call.client].append(call.ended)
    return max((later - earlier for each in answered.values() for earlier, later in pairwise(each)), default=0.0)
