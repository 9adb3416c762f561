"""The size of the measurements, and the objects that the scenarios share."""

from dataclasses import dataclass

from bench.database import Postgres
from bench.report import Progress


@dataclass(frozen=True)
class Plan:
    """The size of the measurements.

    Attributes:
        rounds: The number of rounds in which the contenders take turns.
        seconds: The approximate duration of the load on each contender in a round.
        entries: The length of the chart whose stream is timed; memory is measured with ten times as many.
        followers: The number of followers of charts.
        idle_seconds: The duration of the measurement of idle followers: a multiple of the heartbeat interval of 10 s.
        latencies: The number of changes whose delay is measured.
        page: The number of the deep page.
    """

    rounds: int = 7
    seconds: float = 3
    entries: int = 1_000_000
    followers: int = 1000
    idle_seconds: float = 20
    latencies: int = 100
    page: int = 10_000

    @property
    def few_rounds(self) -> int:
        """The number of rounds of scenarios with many contenders, or long ones."""
        return max(1, self.rounds // 2)


QUICK = Plan(rounds=3, seconds=0.6, entries=100_000, followers=200, idle_seconds=5, latencies=8, page=1000)


@dataclass(frozen=True)
class Bench:
    """The objects that all scenarios share.

    Attributes:
        postgres: A PostgreSQL with a migrated database.
        plan: The size of the measurements.
        progress: Reports the current step.
    """

    postgres: Postgres
    plan: Plan
    progress: Progress
