"""Fixtures for tests of the group commit."""

from typing import Any

import pytest
from sqlalchemy import text

from sprocket_grpc.services.group_commit import GroupCommit
from sprocket_grpc.services.sprocket_creation import SprocketCreation
from sprocket_grpc.storage.postgres import database as database_module
from sprocket_grpc.storage.postgres.statements import Statement
from tests.services.group_commit import hot as module
from tests.services.group_commit.hot import Hot, Waiter, hot_factory
from tests.support.service import Service
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def creations(monkeypatch: pytest.MonkeyPatch) -> list[SprocketCreation]:
    """What creates sprockets in the servers of the test."""
    made: list[SprocketCreation] = []
    initialise = SprocketCreation.__init__

    def noted(self: SprocketCreation, *args: Any) -> None:
        initialise(self, *args)
        made.append(self)

    monkeypatch.setattr(SprocketCreation, "__init__", noted)
    monkeypatch.setattr(module, "creations", made)
    return made


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Waiter:
    """A function that waits until exactly `count` calls are pending or in a running batch."""
    waiting, wait = 0, GroupCommit._wait

    async def counted(self: GroupCommit[Any, Any], key: Any, item: Any) -> None:
        nonlocal waiting
        waiting += 1
        try:
            await wait(self, key, item)
        finally:
            waiting -= 1

    async def until_waiting(count: int) -> None:
        await until(lambda: waiting == count)

    monkeypatch.setattr(GroupCommit, "_wait", counted)
    return until_waiting


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let groups wait for locks, so that a test can collect calls behind them."""
    monkeypatch.setattr(database_module, "_LIMIT_LOCK_WAIT", Statement(text("SELECT 1")))


@pytest.fixture
async def hot(service: Service) -> Hot:
    return await hot_factory(service)
