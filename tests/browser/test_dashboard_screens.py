"""The dashboard on small and large screens, by keyboard, and with names and numbers of any length."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems, accessibility_violations, screenshot
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard, set_goal
from tests.support.http import post
from tests.support.site import Site
from tests.support.web import FACTORIES

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

ALL = f"ids={','.join(FACTORY_IDS)}"
FIRST = f"ids={FACTORY_IDS[0]}"
SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "large": {"viewport": {"width": 1280, "height": 800}},
}
NAMES = ["W" * 63, "東京都港区の第一工場 🏭🔩", "مصنع التروس (الرياض) Werk 7"]

_PANEL_OF_FOCUS = "document.activeElement.closest('section')?.getAttribute('aria-label') ?? ''"


async def rename(site: Site, factory_id: str, name: str) -> None:
    """Change the name of a factory."""
    update = {"factory": {"id": factory_id, "displayName": name}, "updateMask": "displayName"}
    assert (await post(site.url.removeprefix("http://"), f"{FACTORIES}/UpdateFactory", update)).status == 200


async def test_the_theme_switch_says_what_it_does_and_obeys_the_keyboard(page: "Page", site: Site) -> None:
    await Dashboard(page, site).open(FIRST)
    label = page.locator("header label")
    assert await label.is_visible()
    assert (await label.inner_text()).startswith("Theme")
    switch = page.get_by_role("combobox", name="Theme")
    for _ in range(10):
        if not await switch.evaluate("each => each === document.activeElement"):
            await page.keyboard.press("Tab")
    await page.keyboard.press("d")
    await page.wait_for_function("getComputedStyle(document.documentElement).colorScheme === 'dark'")
    assert await accessibility_violations(page) == []


@pytest.mark.parametrize(("screen", "order"), [("phone", ["Charts", "Factories"]), ("large", ["Factories", "Charts"])])
async def test_the_keyboard_goes_through_the_panels_as_eyes_do(
    new_page: NewPage, site: Site, screen: str, order: list[str]
) -> None:
    dashboard = Dashboard(await new_page(**SCREENS[screen]), site)
    await dashboard.open(FIRST)
    visited = list[str]()
    for _ in range(40):
        await dashboard.page.keyboard.press("Tab")
        panel = await dashboard.page.evaluate(_PANEL_OF_FOCUS)
        visited += [panel] if panel and panel not in visited else []
    assert visited == order
    boxes = [await dashboard.page.get_by_role("region", name=each, exact=True).bounding_box() for each in order]
    assert boxes[0]
    assert boxes[1]
    assert (boxes[0]["y"], boxes[0]["x"]) < (boxes[1]["y"], boxes[1]["x"])


async def test_a_factory_that_is_chosen_on_a_phone_comes_into_view(new_page: NewPage, site: Site) -> None:
    dashboard = Dashboard(await new_page(**SCREENS["phone"]), site)
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("button", name="Factory 3").click()
    await dashboard.wait_for_values("actual 31 of goal 32")
    box = await dashboard.page.get_by_role("heading", name="Factory 3").bounding_box()
    assert box
    assert 0 <= box["y"] < SCREENS["phone"]["viewport"]["height"] / 2


@pytest.mark.parametrize("screen", SCREENS)
async def test_names_and_numbers_of_any_length_fit_the_screen(new_page: NewPage, site: Site, screen: str) -> None:
    for factory_id, name in zip(FACTORY_IDS, NAMES, strict=True):
        await rename(site, factory_id, name)
    await set_goal(site, FACTORY_IDS[0], 2**63 - 1)
    dashboard = Dashboard(await new_page(**SCREENS[screen]), site)
    await dashboard.open(ALL)
    await dashboard.page.get_by_role("button", name="Set goal").last.wait_for(timeout=PATIENCE_MS)
    assert await dashboard.width() <= SCREENS[screen]["viewport"]["width"]
    for name in NAMES:
        box = await dashboard.page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box
        assert box["width"] > 60  # pixels: several letters per line
    assert await accessibility_violations(dashboard.page) == []
    await screenshot(dashboard.page, f"dashboard-names-{screen}")


@pytest.mark.parametrize("screen", SCREENS)
async def test_no_factories_is_said_with_the_way_to_create_one(
    new_page: NewPage, site: Site, problems: Problems, screen: str
) -> None:
    problems.allow("status of 40[04]")
    for factory_id in FACTORY_IDS:
        await post(site.url.removeprefix("http://"), f"{FACTORIES}/DeleteFactory", {"id": factory_id, "force": True})
    dashboard = Dashboard(await new_page(**SCREENS[screen]), site)
    await dashboard.page.goto(f"{site.url}/#{FIRST}")
    await dashboard.page.get_by_text("A factory no longer exists").wait_for(timeout=PATIENCE_MS)
    assert await dashboard.width() <= SCREENS[screen]["viewport"]["width"]
    await dashboard.page.get_by_role("link", name="Create one").click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_role("heading", level=1, name="CreateFactory").wait_for(timeout=PATIENCE_MS)
