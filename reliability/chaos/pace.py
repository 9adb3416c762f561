"""How fast this machine is at the moment, by which bounds in seconds are multiplied."""

from collections import deque
from collections.abc import Iterable
from statistics import quantiles

from reliability.chaos.calls import Call

_EXPECTED_SECONDS = 0.1
_LARGEST_SCALE = 10.0
_FEWEST, _MOST = 20, 300


class Pace:
    """The duration of the last calls without a fault: other programs may use the machine, now or later."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_MOST)

    def add(self, calls: Iterable[Call]) -> None:
        """Add calls that were made without a fault."""
        self._seconds.extend(call.ended - call.began for call in calls)

    @property
    def scale(self) -> float:
        """By how much slower this machine is than one on which 95 % of calls take 0.1 s at most; 1 if it is not."""
        if len(self._seconds) < _FEWEST:
            return 1.0
        return min(max(1.0, quantiles(self._seconds, n=20)[-1] / _EXPECTED_SECONDS), _LARGEST_SCALE)
