"""The charts of the dashboard: gestures, details, time zones, and responses that cannot be read."""

import json
import re
import struct
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.tables import chart_entry, factory
from tests.browser.conftest import NewPage
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard, entries_of, set_goal
from tests.support.site import Site
from tests.support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

pytestmark = pytest.mark.slow

FIRST = f"ids={FACTORY_IDS[0]}"
ZOOMED = re.compile(r"zoom=\d+-\d+")
STREAM = "**/sprocket.v1.FactoryService/FollowFactoryCharts"
MANY = 5_000
MAX_POINTS = 2_000


@pytest.fixture
def dashboard(page: "Page", site: Site) -> Dashboard:
    return Dashboard(page, site)


def add_entries(site: Site, factory_id: str, count: int) -> None:
    """Add entries to a chart, one per second after its last one."""
    entries = entries_of(site, factory_id)
    time, goal, actual = entries[-1]
    rows = [
        {
            "factory_id": factory_id,
            "sequence": len(entries) + number,
            "time_micros": time + number * 1_000_000,
            "sprocket_production_goal": goal,
            "sprocket_production_actual": actual + number % 7,
        }
        for number in range(1, count + 1)
    ]
    last = {"chart_sequence": rows[-1]["sequence"], "chart_time_micros": rows[-1]["time_micros"]}
    with create_plain_engine(site.database_url).begin() as connection:
        connection.execute(insert(chart_entry), rows)
        connection.execute(update(factory).where(factory.c.id == factory_id).values(last))


async def count_entries(dashboard: Dashboard) -> int:
    """Return how many entries of the first chart are drawn, as its table says, which shows some of them."""
    await dashboard.entries("Factory 1")
    caption = await dashboard.chart("Factory 1").locator("caption").inner_text()
    return int(caption.partition(" ")[0].replace(",", ""))


async def test_a_zoom_reads_the_entries_that_the_whole_chart_leaves_out(dashboard: Dashboard, site: Site) -> None:
    add_entries(site, FACTORY_IDS[0], MANY)
    await dashboard.open(FIRST)
    assert await count_entries(dashboard) <= MAX_POINTS
    times = [time for time, _, _ in entries_of(site, FACTORY_IDS[0])]
    await dashboard.page.evaluate("zoom => { location.hash += zoom }", f"&zoom={times[2000]}-{times[3000]}")
    expected = len(times[2000:3000])

    async def has_all() -> bool:
        return await count_entries(dashboard) == expected

    await until(has_all)


async def test_every_entry_is_a_step_of_both_curves(dashboard: Dashboard, site: Site) -> None:
    await dashboard.open(FIRST)
    await dashboard.wait_for_values("on goal")
    for curve in ("goal", "actual"):
        path = await dashboard.page.locator(f"path.{curve}").get_attribute("d")
        assert str(path).count("H") == len(entries_of(site, FACTORY_IDS[0]))


async def test_the_largest_goal_is_drawn(dashboard: Dashboard, site: Site) -> None:
    await set_goal(site, FACTORY_IDS[0], 2**63 - 1)
    await dashboard.open(f"{FIRST}&range=1h")  # the range has this goal alone
    await dashboard.wait_for_values("of goal 9,223,372,036,854,77")
    assert "NaN" not in str(await dashboard.page.locator("path.goal").get_attribute("d"))


async def test_charts_come_and_go_in_one_stream_and_stay_whole(dashboard: Dashboard, site: Site) -> None:
    await dashboard.open(FIRST)
    second = dashboard.page.get_by_label("Chart of Factory 2", exact=True)
    for number, is_shown in enumerate([True, False, True], start=1):
        await second.set_checked(is_shown)
        await set_goal(site, FACTORY_IDS[0], 70 + number)
        await dashboard.wait_for_values(f"of goal {70 + number}")
    await dashboard.wait_for_values("actual 30 of goal 32")
    for name, factory_id in zip(["Factory 1", "Factory 2"], FACTORY_IDS, strict=False):
        assert await dashboard.entries(name) == entries_of(site, factory_id)


async def test_a_response_that_cannot_be_read_is_read_again_and_nothing_twice(dashboard: Dashboard, site: Site) -> None:
    whole = {"timeMicros": ["1"], "sprocketProductionGoal": ["1"], "sprocketProductionActual": ["1"]}
    charts = [{"factoryId": FACTORY_IDS[0], "chart": each} for each in (whole, whole | {"timeMicros": ["1", "2"]})]
    message = json.dumps({"charts": charts, "resumeToken": "none"}).encode()

    async def break_once(route: "Route") -> None:
        await route.fulfill(content_type="application/connect+json", body=struct.pack(">BI", 0, len(message)) + message)

    await dashboard.page.route(STREAM, break_once, times=1)
    await dashboard.open(FIRST)
    assert await dashboard.entries("Factory 1") == entries_of(site, FACTORY_IDS[0])


async def test_scrolling_with_ctrl_zooms_around_the_pointer_and_a_double_click_leaves_the_zoom(
    dashboard: Dashboard,
) -> None:
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("slider").hover()
    await dashboard.page.keyboard.down("Control")
    await dashboard.page.mouse.wheel(0, -200)
    await dashboard.page.keyboard.up("Control")
    await dashboard.page.wait_for_url(ZOOMED, timeout=PATIENCE_MS)
    await dashboard.page.get_by_role("slider").dblclick()
    await dashboard.page.wait_for_url(re.compile("#(?!.*zoom=)"), timeout=PATIENCE_MS)


async def test_two_fingers_zoom_to_the_time_between_them(new_page: NewPage, site: Site) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    dashboard = Dashboard(await new_page(**options), site)
    await dashboard.open(FIRST)
    box = await dashboard.page.get_by_role("slider").bounding_box()
    assert box
    session = await dashboard.page.context.new_cdp_session(dashboard.page)

    async def touch(kind: str, *fingers: int) -> None:
        points = [{"x": x, "y": box["y"] + 80, "id": index} for index, x in enumerate(fingers)]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    await touch("touchStart", 170, 200)
    for pixels in range(10, 90, 10):
        await touch("touchMove", 170 - pixels, 200 + pixels)
    await touch("touchEnd")
    await dashboard.page.wait_for_url(ZOOMED, timeout=PATIENCE_MS)
    assert await count_entries(dashboard) < len(entries_of(site, FACTORY_IDS[0]))


async def test_times_are_utc_or_local(new_page: NewPage, site: Site) -> None:
    dashboard = Dashboard(await new_page(timezone_id="Europe/Zurich"), site)
    await dashboard.open(FIRST)
    await dashboard.wait_for_values("2021-01-21 02:25:58 UTC")
    await dashboard.page.get_by_role("button", name="UTC").click()
    await dashboard.wait_for_values("2021-01-21 03:25:58 Europe/Zurich")


async def test_the_theme_stays_after_a_reload(dashboard: Dashboard) -> None:
    await dashboard.open()
    await dashboard.page.get_by_label("Theme").select_option("Dark")
    await dashboard.page.reload()
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    await dashboard.page.wait_for_function(f"{scheme} === 'dark'", timeout=PATIENCE_MS)
