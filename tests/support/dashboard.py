"""The dashboard in a browser, as people see it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import text

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.http import Answered, post
from tests.support.site import Site
from tests.support.web import FACTORIES

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

FACTORY_IDS = [
    "017722b1-ddd0-7003-8000-000000000001",
    "0177234a-7450-7003-8000-000000000002",
    "01772940-5550-7003-8000-000000000003",
]
"""The ids of the factories of the sample data."""

PATIENCE_MS = 60_000

Entry: TypeAlias = tuple[int, int, int]
"""An entry of a chart: its time in microseconds since 1970, its goal and its actual."""

_ENTRIES = text("""
    SELECT time_micros, sprocket_production_goal, sprocket_production_actual
    FROM chart_entry WHERE factory_id = :id ORDER BY sequence
""")

_ADD = text("""
    WITH added AS (
        INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
                             chart_sequence, chart_time_micros)
        SELECT gen_random_uuid(), 'Works ' || lpad(number::text, 2, '0'), location_id, 0, 0, 1, 0
        FROM generate_series(1, :count) AS number, (SELECT location_id FROM factory LIMIT 1) AS place
        RETURNING id)
    INSERT INTO chart_entry (factory_id, sequence, time_micros, sprocket_production_goal, sprocket_production_actual)
    SELECT id, 1, 0, 0, 0 FROM added
""")

_HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""

_ROWS = "rows => rows.map(row => [...row.cells].slice(0, 3).map(cell => cell.textContent))"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Dashboard:
    """A page with the dashboard.

    Attributes:
        page: The page.
    """

    def __init__(self, page: "Page", site: Site) -> None:
        self.page = page
        self._site = site

    async def open(self, fragment: str = "", state: str = "Live") -> None:
        """Open it, with a state in the fragment of the URL, and wait for a state of its stream."""
        await self.page.goto(f"{self._site.url}/#{fragment}")
        await self.wait_for(state)

    async def wait_for(self, state: str) -> None:
        """Wait until the page says how its stream is: `Live`, `Reconnecting`, ..."""
        await self.page.locator(".status", has_text=state).wait_for(timeout=PATIENCE_MS)

    async def wait_for_values(self, values: str) -> None:
        """Wait until a chart says its latest values, such as `actual 31 of goal 32: 1 behind`."""
        await self.page.locator(".values", has_text=values).first.wait_for(timeout=PATIENCE_MS)

    def chart(self, name: str) -> "Locator":
        """Return the figure of a factory."""
        return self.page.locator("figure", has=self.page.get_by_role("heading", name=name, exact=True))

    async def entries(self, name: str) -> Sequence[Entry]:
        """Return the entries that the page has of a chart, the oldest first, as the table beside it shows them."""
        details = self.chart(name).locator("details")
        if await details.get_attribute("open") is None:
            await details.locator("summary").click()
            await details.locator("tbody tr").first.wait_for(timeout=PATIENCE_MS)
        rows = await details.locator("tbody tr").evaluate_all(_ROWS)
        return [(_micros(time), _number(goal), _number(actual)) for time, goal, actual in reversed(rows)]

    async def hide(self, *, hidden: bool = True) -> None:
        """Tell the page that its tab is hidden, or shown again."""
        await self.page.evaluate(_HIDE, hidden)

    async def width(self) -> int:
        """Return the width of the content in pixels, which is greater than the window's if people have to scroll."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return width


def add_factories(site: Site, count: int) -> None:
    """Add factories without a goal, called `Works 01` and so on."""
    with create_plain_engine(site.database_url).begin() as connection:
        connection.execute(_ADD, {"count": count})


def entries_of(site: Site, factory_id: str) -> Sequence[Entry]:
    """Return the entries of a factory in the database, the oldest first."""
    with create_plain_engine(site.database_url).connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(_ENTRIES, {"id": factory_id})]


async def set_goal(site: Site, factory_id: str, goal: int) -> Answered:
    """Change the goal of a factory, as somebody else does."""
    update = {"factory": {"id": factory_id, "sprocketProductionGoal": goal}, "updateMask": "sprocketProductionGoal"}
    return await post(site.url.removeprefix("http://"), f"{FACTORIES}/UpdateFactory", update)


def _micros(shown: str) -> int:
    return (datetime.fromisoformat(shown).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _number(shown: str) -> int:
    return int(shown.replace(",", ""))
