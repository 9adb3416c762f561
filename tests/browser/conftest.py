"""Fixtures for a browser. Without a browser, or without what drives it, its tests are skipped."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.support.browser import Problems, launch, open_context
from tests.support.site import Site, running_site

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

NewPage: TypeAlias = "Callable[..., Awaitable[Page]]"
"""Opens a page in a new context, with the options of Playwright's `Browser.new_context`."""

_PROGRAM = shutil.which("chromium")


@pytest.fixture(scope="session")
async def browser() -> "AsyncIterator[Browser]":
    """A browser for the tests of this process."""
    api: Any = pytest.importorskip("playwright.async_api", reason="Playwright is not installed: run `make browser`")
    if _PROGRAM is None:
        pytest.skip("chromium is not installed")
    async with api.async_playwright() as playwright:
        browser = await launch(playwright, _PROGRAM)
        yield browser
        await browser.close()


@pytest.fixture
async def problems(browser: "Browser") -> AsyncIterator[Problems]:  # noqa: ARG001  # it may skip the test
    """What goes wrong on the pages of the test. What it does not allow fails the test in the end."""
    problems = Problems()
    yield problems
    assert problems.unexpected == []


@pytest.fixture
async def site(browser: "Browser", database_url: str) -> AsyncIterator[Site]:  # noqa: ARG001  # it may skip the test
    """A server with the sample data, in a process of its own."""
    async with running_site(database_url) as site:
        yield site


@pytest.fixture
async def new_page(browser: "Browser", problems: Problems, site: Site) -> AsyncIterator[NewPage]:  # noqa: ARG001
    """A function that opens pages, each in a context of its own. They are closed before the server ends."""
    async with AsyncExitStack() as until_the_end:

        async def open_page(**options: Any) -> "Page":
            context = await open_context(browser, problems, options)
            until_the_end.push_async_callback(context.close)
            return await context.new_page()

        yield open_page


@pytest.fixture
async def page(new_page: NewPage) -> "Page":
    """An empty page."""
    return await new_page()
