"""The dashboard while the server refuses calls or is unavailable: it waits as asked, and no write has effect twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import NewPage
from tests.support.browser import Problems
from tests.support.dashboard import FACTORY_IDS, PATIENCE_MS, Dashboard, entries_of
from tests.support.http import post
from tests.support.site import Site, running_site
from tests.support.waiting import until
from tests.support.web import FACTORIES

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request, Route

pytestmark = pytest.mark.slow

FIRST = f"ids={FACTORY_IDS[0]}"
STREAM, LIST, CREATE = "FollowFactoryCharts", "ListFactories", "CreateSprocket"
REFUSED = "status of 429"
AWAY = (
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "status of 503",
)
RETRY_MILLIS = 1000
"""The RetryInfo of a server that stops."""

_PAUSES = """method => {
    const calls = performance.getEntriesByType("resource").filter(({ name }) => name.includes(method));
    return calls.slice(1).map(({ startTime }, index) => startTime - calls[index].responseEnd);
}"""


@pytest.fixture
def settings() -> dict[str, str]:
    """The settings of the server."""
    return {}


@pytest.fixture
async def site(browser: "Browser", database_url: str, settings: dict[str, str]) -> AsyncIterator[Site]:  # noqa: ARG001  # it may skip the test
    async with running_site(database_url, **settings) as site:
        yield site


@pytest.fixture
def dashboard(page: "Page", site: Site) -> Dashboard:
    return Dashboard(page, site)


async def pauses(page: "Page", method: str) -> list[float]:
    """Return how many milliseconds a page has waited after each call of a method until the next one."""
    found: list[float] = await page.evaluate(_PAUSES, method)
    return found


async def retry_seconds(request: "Request") -> float:
    """Return the RetryInfo of the response to a call that has ended; 0 if it has none."""
    response = await request.response()
    if not response:
        return 0
    body = await response.body()
    answer = json.loads(body[5:])["error"] if request.url.endswith(STREAM) else json.loads(body)
    delays = [each["debug"]["retryDelay"] for each in answer.get("details", []) if "RetryInfo" in each["type"]]
    return float(delays[0].rstrip("s")) if delays else 0


@pytest.mark.parametrize("settings", [{"rate_limit": "3/3 seconds"}])
async def test_no_call_is_made_again_before_the_server_permits_it(dashboard: Dashboard, problems: Problems) -> None:
    problems.allow(REFUSED)
    ended = list["Request"]()
    dashboard.page.on("requestfinished", lambda each: ended.append(each) if "sprocket.v1" in each.url else None)
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("button", name="Set goal").wait_for(timeout=PATIENCE_MS)
    delays = [await retry_seconds(each) for each in ended]
    assert any(delays)
    for index, (request, seconds) in enumerate(zip(ended, delays, strict=True)):
        again = [each for each in ended[index + 1 :] if (each.url, each.post_data) == (request.url, request.post_data)]
        refused_at = request.timing["startTime"] + request.timing["responseStart"]
        for each in again[:1]:
            assert each.timing["startTime"] >= refused_at + seconds * 1000 - 1, request.url


@pytest.mark.parametrize("settings", [{"stream_limit": "1"}])
async def test_a_stream_that_a_limit_refuses_opens_when_another_one_has_ended(
    dashboard: Dashboard, new_page: NewPage, problems: Problems, site: Site
) -> None:
    problems.allow(REFUSED)
    await dashboard.open(FIRST)
    second = Dashboard(await new_page(), site)
    await second.open(FIRST, state="Reconnecting")
    await second.page.get_by_text("resource_exhausted").wait_for(timeout=PATIENCE_MS)
    await dashboard.page.close()
    await second.wait_for("Live")
    await second.hide()  # a stream is measured when it has ended
    await until(lambda: _has_paused(second.page, STREAM))
    assert min(await pauses(second.page, STREAM)) >= RETRY_MILLIS


async def test_a_stream_of_a_server_that_stops_is_opened_again_when_the_server_says(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow(*AWAY)
    await dashboard.open(FIRST)
    await site.stop()
    await until(lambda: _has_paused(dashboard.page, STREAM))
    assert (await pauses(dashboard.page, STREAM))[0] >= RETRY_MILLIS


async def _has_paused(page: "Page", method: str) -> bool:
    return bool(await pauses(page, method))


@pytest.mark.parametrize("method", [LIST, STREAM])
async def test_a_proxy_says_by_retry_after_when_to_call_again(
    dashboard: Dashboard, problems: Problems, method: str
) -> None:
    problems.allow("status of 503")

    async def refuse(route: "Route") -> None:
        await route.fulfill(status=503, headers={"retry-after": "3"}, content_type="text/html", body="<p>Busy")

    await dashboard.page.route(f"**/*{method}*", refuse, times=1)
    await dashboard.open(FIRST)
    await dashboard.hide(hidden=method == STREAM)  # a stream is measured when it has ended
    await until(lambda: _has_paused(dashboard.page, method))
    assert (await pauses(dashboard.page, method))[0] >= 3 * RETRY_MILLIS


async def test_a_delay_of_weeks_does_not_end_at_once(dashboard: Dashboard, problems: Problems) -> None:
    problems.allow("status of 503")

    async def refuse(route: "Route") -> None:
        await route.fulfill(status=503, headers={"retry-after": str(1 << 22)}, content_type="text/html", body="<p>Busy")

    await dashboard.page.route(f"**/*{LIST}*", refuse)
    await dashboard.open(FIRST)
    await dashboard.page.get_by_role("button", name="Set goal").wait_for(timeout=PATIENCE_MS)
    assert await pauses(dashboard.page, LIST) == []


async def add_sprocket(dashboard: Dashboard) -> None:
    """Open the dialog for a new sprocket, and choose a type."""
    await dashboard.page.get_by_role("button", name="Add sprocket").click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_label("Type").select_option("Sprocket type 2", timeout=PATIENCE_MS)


async def change_goal(dashboard: Dashboard) -> None:
    """Open the dialog for the goal, and enter one."""
    await dashboard.page.get_by_role("button", name="Set goal").click(timeout=PATIENCE_MS)
    await dashboard.page.get_by_text("The goal is ").wait_for(timeout=PATIENCE_MS)
    await dashboard.page.get_by_label("New goal, in sprockets").fill("50")


async def submit(dashboard: Dashboard) -> None:
    await dashboard.page.locator("dialog button[type=submit]").click()


async def will_try_again(dashboard: Dashboard) -> None:
    await dashboard.page.get_by_role("dialog").get_by_text("Trying again in").wait_for(timeout=PATIENCE_MS)


def sent_ids(page: "Page", method: str) -> list[str]:
    """Note the request ids of the changes that a page sends from now on."""
    ids = list[str]()

    def note(request: "Request") -> None:
        if request.url.endswith(method) and (request_id := json.loads(request.post_data or "{}").get("requestId")):
            ids.append(request_id)

    page.on("request", note)
    return ids


@asynccontextmanager
async def flood(site: Site) -> AsyncIterator[Callable[[], bool]]:
    """Call until the block ends, and yield a function that returns whether the limit has been reached."""
    statuses = set[int]()

    async def call() -> None:
        while True:
            statuses.add((await post(site.url.removeprefix("http://"), f"{FACTORIES}/{LIST}", {})).status)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call())
        yield lambda: 429 in statuses
        calling.cancel()


@pytest.mark.parametrize("settings", [{"rate_limit": "20/5 seconds"}])
async def test_a_sprocket_that_a_limit_refuses_is_created_when_the_server_permits_it_and_once(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow(REFUSED)
    await dashboard.open(FIRST)
    await add_sprocket(dashboard)
    before, ids = len(entries_of(site, FACTORY_IDS[0])), sent_ids(dashboard.page, CREATE)
    async with flood(site) as has_limit:
        await until(has_limit)
        await submit(dashboard)
        await will_try_again(dashboard)
    await dashboard.page.get_by_role("dialog").wait_for(state="detached", timeout=PATIENCE_MS)
    assert len(ids) > len({*ids}) == 1
    assert len(entries_of(site, FACTORY_IDS[0])) == before + 1


@pytest.mark.parametrize(
    ("open_dialog", "values"),
    [(add_sprocket, "actual 33 of goal 32"), (change_goal, "of goal 50")],
    ids=["create", "goal"],
)
async def test_a_change_is_saved_when_the_server_is_back(
    dashboard: Dashboard, problems: Problems, site: Site, open_dialog: Callable[[Dashboard], Any], values: str
) -> None:
    problems.allow(*AWAY)
    await dashboard.open(FIRST)
    await open_dialog(dashboard)
    before = len(entries_of(site, FACTORY_IDS[0]))
    await site.stop()
    await submit(dashboard)
    await will_try_again(dashboard)
    assert await dashboard.page.locator("dialog input").is_disabled()
    await site.start()
    await dashboard.wait_for_values(values)
    assert len(entries_of(site, FACTORY_IDS[0])) == before + 1


async def test_a_sprocket_whose_response_is_lost_is_not_created_twice(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow("ERR_FAILED")
    await dashboard.open(FIRST)
    await add_sprocket(dashboard)
    before, ids = len(entries_of(site, FACTORY_IDS[0])), sent_ids(dashboard.page, CREATE)

    async def lose(route: "Route") -> None:
        assert (await route.fetch()).ok
        await route.abort()

    await dashboard.page.route(f"**/*{CREATE}", lose, times=1)
    await submit(dashboard)
    await dashboard.page.get_by_role("dialog").wait_for(state="detached", timeout=PATIENCE_MS)
    assert len(ids) > len({*ids}) == 1
    assert len(entries_of(site, FACTORY_IDS[0])) == before + 1


async def test_a_change_that_is_cancelled_is_not_sent_again(
    dashboard: Dashboard, problems: Problems, site: Site
) -> None:
    problems.allow(*AWAY)
    await dashboard.open(FIRST)
    await add_sprocket(dashboard)
    before = entries_of(site, FACTORY_IDS[0])
    await site.kill()
    await submit(dashboard)
    await will_try_again(dashboard)
    ids = sent_ids(dashboard.page, CREATE)
    await dashboard.page.get_by_role("button", name="Cancel").click()
    await site.start()
    await dashboard.wait_for("Live")
    assert (entries_of(site, FACTORY_IDS[0]), ids) == (before, [])


_OFFERS = """async () => {
    const { Offers } = await import("/static/offers.js");
    let now = 0, most = 0;
    const { promise, resolve } = Promise.withResolvers();
    const offers = new Offers(async () => {
        most = Math.max(most, ++now);
        await new Promise((end) => setTimeout(end, 50));
        now--;
        return [];
    });
    for (const name of ["first", "second", "last"]) {
        offers.add("id", { offer: () => name === "last" && resolve() });
    }
    await promise;
    return most;
}"""


async def test_what_a_caller_may_do_with_a_factory_is_asked_once_at_a_time(dashboard: Dashboard) -> None:
    """Also if the factory leaves the charts and returns, before the answer."""
    await dashboard.open()
    assert await dashboard.page.evaluate(_OFFERS) == 1
