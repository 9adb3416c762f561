"""Fixtures for the web listener."""

from collections.abc import AsyncIterator

import pytest

from tests.support.web import WebService, running_web_service


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[WebService]:
    """A server in this process that listens for HTTP too."""
    async with running_web_service(database_url) as running:
        yield running
