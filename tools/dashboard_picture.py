"""Takes docs/dashboard.png: `make .venv/.browser`, then `.venv/bin/python -m tools.dashboard_picture`.

The factories and their histories are made up, and the same each time but for their end, which is now.
"""

import asyncio
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random

from playwright.async_api import async_playwright
from sqlalchemy import Connection, insert

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.tables import chart_entry, factory, location
from sprocket_grpc.testing.postgres import migrated_database, temporary_postgres
from tests.support.browser import launch
from tests.support.site import running_site

_PICTURE = Path(__file__).parents[1] / "docs" / "dashboard.png"
_SIZE = {"width": 1300, "height": 600}
_CITIES = ["Bern", "Gent", "Graz", "Lyon", "Porto", "Turku"]
_SHOWN = (7, 4)
_ENTRIES = 300
_MICROS = 4 * 365 * 86_400 * 1_000_000
"""How long the histories are."""


def _history(random: Random, end: int) -> Iterator[dict[str, int]]:
    """Yield the entries of a chart: the actual grows towards a goal that changes now and then."""
    goal, actual = random.randint(150, 400), random.randint(80, 120)
    for number in range(_ENTRIES):
        if number % 20 == 0:
            goal = max(goal + random.randint(-70, 80), 1)
        actual = max(actual + random.randint(-1, 5 if actual < goal else 2), 0)
        yield {
            "time_micros": end - _MICROS + _MICROS * (number + 1) // _ENTRIES,
            "sprocket_production_goal": goal,
            "sprocket_production_actual": actual,
        }


_BERN = {
    "display_name": "Bern",
    "address": "Bundesplatz 3",
    "address_2": "",
    "city": "Bern",
    "administrative_area": "",
    "postal_code": "3005",
    "country_code": "CH",
}


def _add_factory(connection: Connection, number: int, location_id: uuid.UUID, random: Random) -> str:
    """Add a factory with its chart, and return its id."""
    identifier, entries = uuid.uuid4(), list(_history(random, time.time_ns() // 1000))
    last = dict(entries[-1])
    last["chart_time_micros"] = last.pop("time_micros")
    name = f"Works {number:02} {_CITIES[number * 5 % len(_CITIES)]}"
    values = {"id": identifier, "display_name": name, "location_id": location_id, "chart_sequence": _ENTRIES}
    connection.execute(insert(factory).values(**values, **last))
    rows = [{"factory_id": identifier, "sequence": number, **each} for number, each in enumerate(entries, start=1)]
    connection.execute(insert(chart_entry), rows)
    return str(identifier)


async def _take(url: str, shown: list[str]) -> None:
    """Serve a database, and save a picture of the dashboard with the charts of some factories."""
    async with running_site(url) as site, async_playwright() as playwright:
        browser = await launch(playwright, shutil.which("chromium") or "")
        page = await browser.new_page(viewport=_SIZE)
        await page.goto(f"{site.url}/#ids={','.join(shown)}&range=all")
        await page.locator(".status", has_text="Live").wait_for()
        await page.locator("figure").nth(len(shown) - 1).wait_for()
        await page.locator("figure").first.hover()
        await page.screenshot(path=_PICTURE)
        await browser.close()


def main() -> None:
    """Take the picture."""
    random = Random(7)  # noqa: S311  # for a picture
    with temporary_postgres() as postgres, migrated_database(postgres) as url:
        with create_plain_engine(url).begin() as connection:
            place = uuid.uuid4()
            connection.execute(insert(location).values(id=place, **_BERN))
            ids = [_add_factory(connection, number, place, random) for number in range(1, 21)]
        asyncio.run(_take(url, [ids[number - 1] for number in _SHOWN]))


if __name__ == "__main__":
    main()
