"""What the health monitor makes of the results of its checks."""

import logging
from typing import Any

import pytest

from sprocket_grpc.server import health
from sprocket_grpc.server.health import HealthMonitor


class Database:
    """Answers checks with these problems, one after the other.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self, *problems: str | None) -> None:
        self.asked = 0
        self._problems = iter(problems)

    async def find_problem(self) -> str | None:
        self.asked += 1
        return next(self._problems)


def monitor_of(database: Any) -> HealthMonitor:
    return HealthMonitor(database, [])


@pytest.fixture(autouse=True)
def _confirmed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CONFIRM_SECONDS", 0)
    monkeypatch.setattr(health, "find_problem_of", Database.find_problem)


@pytest.mark.parametrize("first", [None, "gone"])
async def test_only_a_result_that_differs_from_the_last_one_is_confirmed(first: str | None) -> None:
    other = None if first else "gone"
    database = Database(first, first, other, other, other)
    monitor = monitor_of(database)
    for asked, problem in [(1, first), (2, first), (4, other), (5, other)]:
        await monitor.check()
        assert (database.asked, monitor.problem) == (asked, problem)


async def test_the_log_has_a_warning_when_a_problem_begins_and_a_line_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, health.__name__)
    monitor = monitor_of(Database(None, "gone", "gone", "gone", None, None, None))
    for _ in range(5):
        await monitor.check()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "gone"),
        ("INFO", "SERVING again"),
    ]
