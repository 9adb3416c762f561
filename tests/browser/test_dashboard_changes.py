"""What people change from the dashboard: only what they see, and not what somebody else has changed meanwhile."""

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems, accessibility_violations
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard, entries_of, set_goal
from tests.support.explorer import Explorer
from tests.support.site import Site

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

FIRST = f"ids={FACTORY_IDS[0]}"
CHANGE, ADD = "Set goal", "Add sprocket"


@pytest.fixture
def dashboard(page: "Page", site: Site) -> Dashboard:
    return Dashboard(page, site)


async def open_goal(dashboard: Dashboard) -> None:
    await dashboard.page.get_by_role("button", name=CHANGE).click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_text("The goal is ").wait_for(timeout=PATIENCE_MS)


async def save(dashboard: Dashboard, goal: str) -> None:
    await dashboard.page.get_by_label("New goal, in sprockets").fill(goal)
    await dashboard.page.get_by_role("button", name="Save").click()


async def test_a_new_goal_is_a_step_of_the_chart(dashboard: Dashboard, site: Site) -> None:
    await dashboard.open(FIRST)
    await open_goal(dashboard)
    assert await accessibility_violations(dashboard.page) == []
    await save(dashboard, "50")
    await dashboard.wait_for_values("actual 32 of goal 50: 18 behind")
    assert (await dashboard.entries("Factory 1"))[-1] == entries_of(site, FACTORY_IDS[0])[-1]


async def test_a_goal_that_somebody_else_has_changed_is_shown_and_not_overwritten(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow("status of 409")
    await dashboard.open(FIRST)
    await open_goal(dashboard)
    await set_goal(site, FACTORY_IDS[0], 60)
    await save(dashboard, "50")
    await dashboard.page.get_by_text("its goal is now 60").wait_for(timeout=PATIENCE_MS)
    assert entries_of(site, FACTORY_IDS[0])[-1][1] == 60
    await dashboard.page.get_by_role("button", name="Save").click()
    await dashboard.wait_for_values("of goal 50")


@pytest.mark.parametrize("goal", ["-1", "a", "1.5", str(2**63)])
async def test_what_is_no_goal_is_not_sent(dashboard: Dashboard, site: Site, goal: str) -> None:
    await dashboard.open(FIRST)
    await open_goal(dashboard)
    before = entries_of(site, FACTORY_IDS[0])
    await save(dashboard, goal)
    assert await dashboard.page.get_by_role("dialog").is_visible()
    assert entries_of(site, FACTORY_IDS[0]) == before


async def test_a_new_sprocket_is_counted(dashboard: Dashboard) -> None:
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("button", name=ADD).click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_label("Type").select_option("Sprocket type 2")
    await dashboard.page.get_by_role("button", name="Create").click()
    await dashboard.wait_for_values("actual 33 of goal 32: 1 ahead")


async def test_the_curve_steps_when_somebody_creates_a_sprocket_on_another_page(
    dashboard: Dashboard, new_page: NewPage, site: Site
) -> None:
    await dashboard.open(FIRST)
    await dashboard.wait_for_values("actual 32 of goal 32: on goal")
    before = await steps(dashboard)
    await dashboard.page.evaluate("globalThis.isSamePage = true")
    explorer = Explorer(await new_page(), site.url)
    await explorer.open("SprocketService/CreateSprocket")
    sprocket = json.loads(await explorer.request())["sprocket"] | {"factoryId": FACTORY_IDS[0]}
    await explorer.write(json.dumps({"sprocket": sprocket}))
    await explorer.send_button.click()
    await explorer.answered("OK")
    await dashboard.wait_for_values("actual 33 of goal 32: 1 ahead")
    assert await steps(dashboard) == before + 1
    assert await dashboard.page.evaluate("isSamePage")


async def steps(dashboard: Dashboard) -> int:
    """Return how many steps the curve of the actual production has."""
    return str(await dashboard.page.locator("path.actual").get_attribute("d")).count("H")


async def test_what_cannot_be_found_out_while_the_server_is_away_is_offered_later(
    dashboard: Dashboard, problems: Problems
) -> None:
    problems.allow("ERR_FAILED")
    calls = re.compile("sprocket.v1")
    await dashboard.page.route(calls, lambda route: route.abort())
    await dashboard.open(FIRST, state="Reconnecting")
    await dashboard.page.unroute(calls)
    for name in (CHANGE, ADD):
        await dashboard.page.get_by_role("button", name=name).wait_for(timeout=PATIENCE_MS)
