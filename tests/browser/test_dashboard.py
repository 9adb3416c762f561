"""The dashboard in a browser: what it shows, and that it shows what the database has, whatever happens."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems, accessibility_violations, screenshot
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard, Entry, add_factories, entries_of, set_goal
from tests.support.http import post
from tests.support.site import Site
from tests.support.waiting import until
from tests.support.web import FACTORIES

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

ALL = f"ids={','.join(FACTORY_IDS)}"
FIRST = f"ids={FACTORY_IDS[0]}"
NAMES = ["Factory 1", "Factory 2", "Factory 3"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LARGE = {"viewport": {"width": 1400, "height": 900}}
UNREACHABLE = (
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_EMPTY_RESPONSE",
)


@pytest.fixture
def dashboard(page: "Page", site: Site) -> Dashboard:
    return Dashboard(page, site)


async def test_it_begins_with_the_factory_that_is_most_behind(dashboard: Dashboard) -> None:
    await dashboard.open()
    rows = dashboard.page.locator(".factories tbody tr")
    assert await rows.locator("th").all_inner_texts() == ["Factory 2", "Factory 3", "Factory 1"]
    assert await rows.locator("td:last-child").all_inner_texts() == ["2 behind", "1 behind", "on goal"]
    await dashboard.wait_for_values("actual 30 of goal 32: 2 behind")


async def test_a_search_finds_factories_by_a_part_of_their_names(dashboard: Dashboard) -> None:
    await dashboard.open(ALL)
    await dashboard.page.get_by_label("Search factories by name").fill("y 3")
    await dashboard.page.locator(".factories tbody tr").nth(1).wait_for(state="detached", timeout=PATIENCE_MS)
    assert await dashboard.page.locator(".factories tbody th").all_inner_texts() == ["Factory 3"]
    await dashboard.page.get_by_label("Search factories by name").fill('a " and a \\')
    await dashboard.page.get_by_text("No factories").wait_for(timeout=PATIENCE_MS)


async def test_a_column_sorts_the_factories(dashboard: Dashboard) -> None:
    await dashboard.open(ALL)
    actual = dashboard.page.get_by_role("button", name="Actual")
    for order, expected in (("ascending", "Factory 2"), ("descending", "Factory 1")):
        await actual.click()
        await dashboard.page.locator(f"th[aria-sort={order}]", has_text="Actual").wait_for(timeout=PATIENCE_MS)
        await dashboard.page.locator(".factories tbody tr:first-child", has_text=expected).wait_for(timeout=PATIENCE_MS)


async def names(dashboard: Dashboard) -> list[str]:
    found: list[str] = await dashboard.page.locator(".factories tbody th").all_inner_texts()
    return found


async def test_pages_turn_forth_and_back_and_a_link_leads_to_one(dashboard: Dashboard, site: Site) -> None:
    add_factories(site, 25)
    await dashboard.open(f"{ALL}&order=display_name&behind=no")
    first, following = dashboard.page.get_by_text("Works 01"), dashboard.page.get_by_text("Works 20")
    await first.wait_for(timeout=PATIENCE_MS)
    assert await names(dashboard) == [*NAMES, *(f"Works {number:02}" for number in range(1, 18))]
    await dashboard.page.get_by_role("button", name="Next").click()
    await following.wait_for(timeout=PATIENCE_MS)
    assert await names(dashboard) == [f"Works {number:02}" for number in range(18, 26)]
    await dashboard.page.reload()
    await following.wait_for(timeout=PATIENCE_MS)
    await dashboard.page.get_by_role("button", name="Previous").click()
    await first.wait_for(timeout=PATIENCE_MS)


async def test_a_page_has_at_most_eight_charts(dashboard: Dashboard, site: Site) -> None:
    add_factories(site, 7)
    await dashboard.open(ALL)
    boxes = dashboard.page.locator(".factories input:not(:checked)")
    await dashboard.page.get_by_text("Works 07").wait_for(timeout=PATIENCE_MS)
    for _ in range(5):
        await boxes.first.check()
    assert await dashboard.page.locator("figure").count() == 8
    assert [await each.is_disabled() for each in await boxes.all()] == [True, True]
    await dashboard.wait_for("Live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [PHONE, LARGE], ids=["phone", "large"])
async def test_it_is_accessible_and_fits_the_screen(
    new_page: NewPage, site: Site, scheme: str, options: dict[str, object]
) -> None:
    dashboard = Dashboard(await new_page(color_scheme=scheme, **options), site)
    await dashboard.open(ALL)
    await dashboard.entries("Factory 1")
    await dashboard.page.get_by_role("button", name="Set goal").first.wait_for(timeout=PATIENCE_MS)
    assert await accessibility_violations(dashboard.page) == []
    assert await dashboard.width() <= await dashboard.page.evaluate("innerWidth")
    await screenshot(dashboard.page, f"dashboard-{scheme}-{'phone' if options is PHONE else 'large'}")


@pytest.mark.parametrize("end", [Site.kill, Site.stop], ids=["SIGKILL", "SIGTERM"])
async def test_its_charts_equal_the_database_after_the_server_has_ended(
    dashboard: Dashboard, problems: Problems, site: Site, end: Callable[[Site], Awaitable[None]]
) -> None:
    problems.allow(*UNREACHABLE)
    await dashboard.open(ALL)
    await set_goal(site, FACTORY_IDS[0], 41)
    await dashboard.wait_for_values("of goal 41")
    await end(site)
    await dashboard.wait_for("Reconnecting")
    await site.start()
    await set_goal(site, FACTORY_IDS[0], 42)
    await set_goal(site, FACTORY_IDS[2], 43)
    for goal in ("42", "43"):
        await dashboard.wait_for_values(f"of goal {goal}")
    await dashboard.wait_for("Live")
    for name, factory_id in zip(NAMES, FACTORY_IDS, strict=True):
        assert await dashboard.entries(name) == entries_of(site, factory_id)


async def test_the_stream_of_a_hidden_page_pauses_and_continues_when_it_is_shown(
    dashboard: Dashboard, site: Site
) -> None:
    await dashboard.open(FIRST)
    await dashboard.hide()
    await dashboard.wait_for("Paused while hidden")
    await until(lambda: "FollowFactoryCharts CANCELLED" in site.log)
    await set_goal(site, FACTORY_IDS[0], 44)
    await dashboard.hide(hidden=False)
    await dashboard.wait_for_values("of goal 44")
    assert await dashboard.entries("Factory 1") == entries_of(site, FACTORY_IDS[0])


async def test_nine_pages_share_the_six_connections_of_a_browser(page: "Page", site: Site) -> None:
    pages = [Dashboard(each, site) for each in [page, *[await page.context.new_page() for _ in range(8)]]]
    for each in pages:  # of nine tabs, one is visible
        await each.open(FIRST)
        await each.hide()
    await set_goal(site, FACTORY_IDS[0], 45)
    for each in pages:
        await each.hide(hidden=False)
        await each.wait_for_values("of goal 45")
        await each.hide()


async def test_a_page_that_is_offline_says_so_and_goes_on_by_itself(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow("ERR_INTERNET_DISCONNECTED", *UNREACHABLE)
    await dashboard.open(FIRST)
    await dashboard.page.context.set_offline(True)
    await site.kill()  # the stream that is open does not end by being offline
    await dashboard.wait_for("Offline")
    await site.start()
    await set_goal(site, FACTORY_IDS[0], 46)
    await dashboard.page.context.set_offline(False)
    await dashboard.wait_for_values("of goal 46")


async def test_a_zoom_is_in_the_url_and_back_leaves_it(dashboard: Dashboard) -> None:
    await dashboard.open(FIRST)
    box = await dashboard.page.get_by_role("slider").bounding_box()
    assert box
    await dashboard.page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 80)
    await dashboard.page.mouse.down()
    await dashboard.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90, steps=4)
    await dashboard.page.mouse.up()
    await dashboard.page.wait_for_url(re.compile(r"zoom=\d+-\d+"))
    zoomed = await dashboard.entries("Factory 1")
    assert 1 < len(zoomed) < len(await _whole(dashboard))
    await dashboard.page.reload()
    await dashboard.wait_for("Live")

    async def shows_the_zoom() -> bool:
        return await dashboard.entries("Factory 1") == zoomed

    await until(shows_the_zoom)


async def _whole(dashboard: Dashboard) -> Sequence[Entry]:
    """Return the entries without the zoom, to which Back leads and Forward returns."""
    await dashboard.page.go_back()
    await dashboard.page.get_by_role("button", name="Whole range").wait_for(state="hidden", timeout=PATIENCE_MS)
    await dashboard.page.evaluate("() => new Promise(requestAnimationFrame)")
    entries = await dashboard.entries("Factory 1")
    await dashboard.page.go_forward()
    return entries


async def test_the_keyboard_reads_the_entries_and_zooms(dashboard: Dashboard, site: Site) -> None:
    await dashboard.open(FIRST)
    slider = dashboard.page.get_by_role("slider")
    await slider.focus()
    entries = entries_of(site, FACTORY_IDS[0])
    for key, index in (("Home", 0), ("ArrowRight", 1), ("PageUp", 11), ("ArrowLeft", 10), ("End", -1)):
        await dashboard.page.keyboard.press(key)
        time, goal, actual = entries[index]
        shown = f"{datetime.fromtimestamp(time // 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        text = str(await slider.get_attribute("aria-valuetext"))
        assert text.startswith(f"actual {actual} of goal {goal}: ")
        assert text.endswith(shown)
    await dashboard.page.keyboard.press("+")
    await dashboard.page.wait_for_url(re.compile("zoom="))
    await dashboard.page.keyboard.press("Escape")
    await dashboard.page.wait_for_url(re.compile("#(?!.*zoom=)"))


async def test_a_name_is_never_html(dashboard: Dashboard, site: Site) -> None:
    name = "<img src=x onerror=alert(1)>"
    factory = {"id": FACTORY_IDS[0], "displayName": name}
    await post(site.url.removeprefix("http://"), f"{FACTORIES}/UpdateFactory", {"factory": factory})
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("heading", name=name).wait_for(timeout=PATIENCE_MS)


async def test_a_factory_that_was_deleted_leaves_the_charts(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow("status of 40[04]")
    await dashboard.open(ALL)
    deletion = {"id": FACTORY_IDS[1], "force": True}
    await post(site.url.removeprefix("http://"), f"{FACTORIES}/DeleteFactory", deletion)
    await dashboard.page.get_by_text("no longer exist").wait_for(timeout=PATIENCE_MS)
    await dashboard.wait_for("Live")
    assert await dashboard.page.locator("figure h3").all_inner_texts() == ["Factory 1", "Factory 3"]
