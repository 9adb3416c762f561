"""The dashboard in a tab that was hidden for long: what it continues, and what it reads again."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.dashboard import FACTORY_IDS, Dashboard, entries_of, set_goal
from tests.support.site import Site
from tests.support.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

FIRST = f"ids={FACTORY_IDS[0]}"
STREAM = "FollowFactoryCharts"
LATER = 1 << 54
"""A time in microseconds since 1970 that is far in the future."""


@pytest.fixture
def dashboard(page: "Page", site: Site) -> Dashboard:
    return Dashboard(page, site)


def expire_all_but_the_last(site: Site, factory_id: str) -> None:
    """Let the entries of a chart expire, except the one that is in force."""
    with create_plain_engine(site.database_url).begin() as connection:
        parameters = {"id": factory_id, "cutoff": LATER}
        connection.execute(text("SELECT expire_chart_before(:id, :cutoff, 1000)"), parameters)


async def test_a_chart_that_has_expired_meanwhile_is_read_again(dashboard: Dashboard, site: Site) -> None:
    await dashboard.open(FIRST)
    await dashboard.hide()
    await dashboard.wait_for("Paused while hidden")
    await until(lambda: f"{STREAM} CANCELLED" in site.log)
    for goal in (61, 62, 63):
        await set_goal(site, FACTORY_IDS[0], goal)
    expire_all_but_the_last(site, FACTORY_IDS[0])
    await dashboard.hide(hidden=False)
    await dashboard.wait_for_values("of goal 63")
    assert await dashboard.entries("Factory 1") == entries_of(site, FACTORY_IDS[0])


async def test_the_history_of_a_range_that_has_moved_on_begins_anew(dashboard: Dashboard) -> None:
    sent: list[dict[str, Any]] = []
    await dashboard.page.clock.install()
    dashboard.page.on(
        "request",
        lambda each: sent.append(json.loads((each.post_data_buffer or b"")[5:])) if STREAM in each.url else None,
    )
    await dashboard.open(f"{FIRST}&range=1h")
    await dashboard.hide()
    await dashboard.wait_for("Paused while hidden")
    await dashboard.page.clock.fast_forward("03:00:00")
    await dashboard.hide(hidden=False)
    await until(lambda: len(sent) > 1)
    assert sent[-1]["startTime"] > sent[0]["startTime"]
    assert not sent[-1]["resumeToken"]
