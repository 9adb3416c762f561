"""The official clients of Connect and gRPC-Web, in a page of another origin: examples/web does what all examples do."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests import ROOT
from tests.support.browser import Problems
from tests.support.http import post
from tests.support.pages import served_files
from tests.support.site import Site, running_site
from tests.support.waiting import until
from tests.support.web import FACTORIES
from tools.examples.running import EXPECTED, GOAL_AFTER, GOAL_BEFORE, normalized

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page, Route

pytestmark = pytest.mark.slow

BUILT = ROOT / "examples" / "web" / "build"
PATIENCE_MS = 60_000
HAS_CHANGED = "before => document.getElementById('output').innerText !== before"

WAYS = {
    "connect-web, JSON": "client=connect",
    "connect-web, JSON and GET": "client=connect&get=true",
    "connect-web, binary": "client=connect&format=binary",
    "connect-web, gRPC-Web": "client=connect&protocol=grpc-web",
    "grpc-web": "client=grpc_web",
}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the page of the example is."""
    if not (BUILT / "page.js").exists():
        pytest.skip("examples/web is not built: run `make browser`, with Node.js installed")
    with served_files(BUILT) as origin:
        yield origin


@pytest.fixture
async def site(browser: "Browser", origin: str, database_url: str) -> AsyncIterator[Site]:  # noqa: ARG001  # may skip
    """A server that the page may call."""
    async with running_site(database_url, web_origins=origin) as site:
        yield site


class Shown:
    """The page of the example."""

    def __init__(self, page: "Page") -> None:
        self.warnings: list[str] = []
        self._page = page
        page.on("console", self._on_console)

    async def open(self, origin: str, site: Site, way: str) -> None:
        """Let the page call a server."""
        await self._page.goto(f"{origin}/?{way}&server={site.url}")

    async def lines(self, last: str) -> list[str]:
        """Return the lines of the page once there is one that begins with `last`, or the page has failed."""
        line, output = re.compile(f"^({re.escape(last)}|failed: )", re.MULTILINE), ""
        while not line.search(output):
            await self._page.wait_for_function(HAS_CHANGED, arg=output, timeout=PATIENCE_MS)
            output = await self._page.locator("#output").inner_text()
        return output.splitlines()

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type == "warning":
            self.warnings.append(message.text)


async def set_goal(site: Site, factory_id: str) -> None:
    """Change the goal of the example's factory."""
    update = {"factory": {"id": factory_id, "sprocketProductionGoal": GOAL_AFTER}}
    answered = await post(site.url.removeprefix("http://"), f"{FACTORIES}/UpdateFactory", update)
    assert answered.status == 200


@EACH_WAY
async def test_a_page_calls_follows_a_chart_through_a_restart_and_cancels_the_stream(
    page: "Page", problems: Problems, origin: str, site: Site, way: str
) -> None:
    problems.allow("the server responded with a status of 400", "ERR_CONNECTION_REFUSED")  # the refusal, the restart
    shown = Shown(page)
    await shown.open(origin, site, way)
    lines = await shown.lines(f"goal {GOAL_BEFORE}, actual 0")
    [followed] = [line.split()[-1] for line in lines if line.startswith("following factory ")]
    await site.stop()
    await site.start()
    await set_goal(site, followed)
    assert normalized(await shown.lines("done")) == [*EXPECTED, "done"]
    assert re.search(r"unavailable|^14:", shown.warnings[0]), shown.warnings  # it was told, not cut off
    await until(lambda: f"{FACTORIES}/GetFactoryChart CANCELLED" in site.log)


@EACH_WAY
async def test_a_create_whose_response_is_lost_is_made_again_and_once(
    page: "Page", problems: Problems, origin: str, site: Site, way: str
) -> None:
    problems.allow("the server responded with a status of 400", "ERR_FAILED")

    async def lose(route: "Route") -> None:
        assert (await route.fetch()).ok
        await route.abort()

    await page.route("**/CreateFactory", lose, times=1)
    shown = Shown(page)
    await shown.open(origin, site, way)
    lines = await shown.lines(f"goal {GOAL_BEFORE}, actual 0")
    assert normalized(lines) == EXPECTED[: len(lines)]
    listed = await post(
        site.url.removeprefix("http://"), f"{FACTORIES}/ListFactories", {"filter": 'display_name:"Example"'}
    )
    assert len(listed.json["factories"]) == 1


@EACH_WAY
async def test_a_deadline_of_a_page_ends_a_call_on_the_server(
    page: "Page", problems: Problems, origin: str, site: Site, way: str
) -> None:
    problems.allow("the server responded with a status of 504")
    shown = Shown(page)
    with create_plain_engine(site.database_url).begin() as connection:
        connection.execute(text("LOCK TABLE sprocket"))
        await shown.open(origin, site, f"{way}&timeout_ms=500")
        [line] = await shown.lines("failed: ")
        assert "deadline" in line
        await until(lambda: bool(re.search("ListSprockets (DEADLINE_EXCEEDED|CANCELLED)", site.log)), 10)


@EACH_WAY
async def test_a_page_of_an_origin_that_is_not_listed_can_do_nothing(
    page: "Page", problems: Problems, origin: str, site: Site, way: str
) -> None:
    problems.allow("CORS", "ERR_FAILED")
    shown = Shown(page)
    await shown.open(origin.replace("127.0.0.1", "localhost"), site, way)
    [line] = await shown.lines("failed: ")
    assert line.startswith("failed: ")
    assert "/sprocket.v1." not in site.log
