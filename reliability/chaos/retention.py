"""Lets the oldest entries of charts expire and packs others into pages, continuously, during all other faults."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import Random

import psycopg

from reliability.chaos.ledger import Entry
from reliability.chaos.world import World

_LONGEST_PAUSE_SECONDS = 0.5
_PAGE_ENTRIES, _KEPT_ENTRIES = 10, 5
_MOST = 1_000_000
"""The most entries that expire at once: all, so that no two beginnings of a chart have the same time."""


class Retention:
    """Does to charts what the servers do after days, within seconds, and with small pages.

    Attributes:
        starts: The beginnings that each chart has had: the sequence of its first entry, by the time of that.
        pages: How many pages it has made.
    """

    def __init__(
        self, world: World, last: Mapping[str, Entry], starts: Mapping[str, dict[int, int]], seed: int
    ) -> None:
        """Work on the charts of a world.

        Args:
            world: The world.
            last: The last entry of each chart that was compared with the followers: only entries before it expire.
            starts: Where the beginnings are noted.
            seed: The source of all that is drawn.
        """
        self._world = world
        self._last = last
        self.starts = starts
        self.pages = 0
        self._draw = Random(f"{seed} retention")

    def summary(self) -> str:
        """Tell what it has done."""
        return f"charts began later {sum(map(len, self.starts.values()))} times, and {self.pages} pages were made"

    async def run(self) -> None:
        """Work until cancelled. What fails because of a fault is done later."""
        while True:
            await asyncio.sleep(self._draw.uniform(0, _LONGEST_PAUSE_SECONDS))
            with suppress(psycopg.Error):
                await self.move(self._draw.choice(list(self._last)))

    async def move(self, factory_id: str) -> None:
        """Make a page of a chart, and move its beginning towards the last entry that was compared."""
        pack = "SELECT pack_chart(%s, %s, %s)"
        [(is_packed,)] = await self._world.query(pack, factory_id, _PAGE_ENTRIES, _KEPT_ENTRIES)
        self.pages += is_packed
        newest = self._last[factory_id].time_micros - 1
        if newest > 0:
            earliest = max(self.starts[factory_id], default=newest)
            cutoff = self._draw.randint(min(earliest, newest), newest)
            await self._world.query("SELECT expire_chart_before(%s, %s, %s)", factory_id, cutoff, _MOST)
        rows = await self._world.query("SELECT factory_id::text, first_time_micros, first_sequence FROM chart_start")
        for each, micros, sequence in rows:
            self.starts[each][micros] = sequence
