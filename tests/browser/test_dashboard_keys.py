"""Callers of the dashboard: what they may not do is not offered, and their key stays secret."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Problems
from tests.support.callers import create_key
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard
from tests.support.site import Site, running_site
from tests.support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.slow

FIRST = f"ids={FACTORY_IDS[0]}"
CHANGE, ADD = "Set goal", "Add sprocket"


@pytest.fixture
async def site(browser: "Browser", database_url: str) -> AsyncIterator[Site]:  # noqa: ARG001  # it may skip the test
    """A server that requires API keys."""
    async with running_site(database_url, api_keys="true") as site:  # pragma: allowlist secret
        yield site


async def enter(dashboard: Dashboard, secret: str) -> None:
    await dashboard.page.get_by_role("button", name="Set the key").click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_label("API key or bearer token").fill(secret)
    await dashboard.page.get_by_role("button", name="Use").click()
    await dashboard.wait_for("Live")


async def test_a_caller_who_may_only_read_is_offered_no_change(page: "Page", site: Site, problems: Problems) -> None:
    problems.allow("status of 401", "status of 403")
    dashboard, denied = Dashboard(page, site), list[str]()
    page.on("response", lambda response: denied.append(response.url) if response.status == 403 else None)
    await dashboard.open(FIRST, state="Stopped")
    await enter(dashboard, create_key(site.database_url, "read").text)
    await until(lambda: [each.rpartition("/")[2] for each in sorted(denied)] == ["UpdateFactory", "CreateSprocket"])
    await page.evaluate("() => new Promise(requestAnimationFrame)")
    assert not await page.get_by_role("button", name=CHANGE).or_(page.get_by_role("button", name=ADD)).count()


async def test_what_a_key_has_shown_is_gone_with_the_key(page: "Page", site: Site, problems: Problems) -> None:
    problems.allow("status of 401", "status of 403")
    dashboard = Dashboard(page, site)
    await dashboard.open(FIRST, state="Stopped")
    await enter(dashboard, create_key(site.database_url, "read").text)
    await dashboard.chart("Factory 1").wait_for(timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Key set").click()
    await page.get_by_role("button", name="Use").click()
    await dashboard.wait_for("Stopped")
    await page.get_by_role("button", name="UTC").click()
    await page.get_by_role("button", name="Times: local").wait_for(timeout=PATIENCE_MS)
    await page.evaluate("() => new Promise(requestAnimationFrame)")
    assert "Factory 1" not in await page.locator("main").inner_text()


async def test_a_text_that_cannot_be_a_key_is_refused_in_the_dialog(
    page: "Page", site: Site, problems: Problems
) -> None:
    problems.allow("status of 401")
    dashboard = Dashboard(page, site)
    await dashboard.open(FIRST, state="Stopped")
    await page.get_by_role("button", name="Set the key").click(timeout=PATIENCE_MS)
    await page.get_by_label("API key or bearer token").fill("Bearer abc…")
    await page.get_by_role("button", name="Use").click()
    await page.get_by_role("dialog").get_by_text("no spaces").wait_for(timeout=PATIENCE_MS)
    await dashboard.wait_for("Stopped")


async def test_the_key_is_neither_stored_nor_in_the_url_and_a_reload_forgets_it(
    page: "Page", site: Site, problems: Problems
) -> None:
    problems.allow("status of 401")
    dashboard = Dashboard(page, site)
    await dashboard.open(FIRST, state="Stopped")
    secret = create_key(site.database_url, "read", "write").text
    await enter(dashboard, secret)
    await page.get_by_role("button", name=CHANGE).wait_for(timeout=PATIENCE_MS)
    kept = await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    assert secret not in kept
    assert secret not in await page.content()
    await page.reload()
    await dashboard.wait_for("Stopped")
