"""Fixtures for tests of the group commit."""

import asyncio
from typing import Any

import pytest

from sprocket_grpc.services.group_commit import GroupCommit
from tests.services.group_commit.hot import Hot, Waiter, hot_factory
from tests.support.service import Service


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

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while waiting != count:  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.005)

    monkeypatch.setattr(GroupCommit, "_wait", counted)
    return until


@pytest.fixture
async def hot(service: Service) -> Hot:
    return await hot_factory(service)
