"""How much is measured, and what the scenarios share."""

from dataclasses import dataclass

from bench.database import Postgres
from bench.report import Progress


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: How often what is compared is measured in turns.
        seconds: For how long each is loaded in a round, about.
        entries: In the chart whose stream is timed; memory is watched over ten times as many.
        followers: How many follow charts.
        idle_seconds: For how long they are watched: a multiple of the 10 s after which they get a sign of life.
        latencies: Of how many changes a follower is to hear.
        page: The number of the deep page.
    """

    rounds: int = 7
    seconds: float = 3
    entries: int = 1_000_000
    followers: int = 1000
    idle_seconds: float = 20
    latencies: int = 100
    page: int = 10_000


QUICK = Plan(rounds=3, seconds=0.6, entries=100_000, followers=200, idle_seconds=5, latencies=8, page=1000)


@dataclass(frozen=True)
class Bench:
    """What scenarios measure with.

    Attributes:
        postgres: A PostgreSQL with a migrated database, which all scenarios share.
        plan: How much is measured.
        progress: Tells what is being done.
    """

    postgres: Postgres
    plan: Plan
    progress: Progress
