"""`sprocket-grpc repack`: packs old entries of charts into pages, allows that, or verifies the pages."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from sprocket_grpc.cli.setup import load_settings_and_log, open_connection, open_database
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.services.charts.packing import Packer
from sprocket_grpc.services.charts.pages import find_problem
from sprocket_grpc.storage import chart_pages
from sprocket_grpc.storage.chart_pages import PAGE_ENTRIES, PageKey, StoredPage
from sprocket_grpc.storage.postgres.database import Database

_PAGES_OF_READ = 20
_REPORT_SECONDS = 5


@click.command("repack")
@click.option(
    "--enable",
    is_flag=True,
    help="Allow servers to pack charts and to let entries expire. Only when no older server runs any more.",
)
@click.option(
    "--verify", is_flag=True, help="Check all pages, and list those that are damaged; exit status 1 if any are."
)
def repack_command(*, enable: bool, verify: bool) -> None:
    """Pack the old entries of all charts into pages now.

    Servers do that in the background, for a twentieth of the time. You can interrupt this command, and run it while
    servers run.
    """
    if enable and verify:
        raise click.UsageError("--enable and --verify cannot be combined")
    if enable:
        _enable()
    else:
        with open_database(load_settings_and_log()) as url:
            asyncio.run(_verify(url) if verify else _repack(url))


def _enable() -> None:
    with open_connection() as connection:
        chart_pages.enable_packing(connection)
    click.echo("packing and expiry are enabled: servers of older versions must not run on this database any more")


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=1)
    try:
        yield database
    finally:
        await database.close()


async def _repack(url: str) -> None:
    async with _connected(url) as database:
        if not await database.read(chart_pages.IS_ENABLED):
            raise ExpectedError(
                "packing is not enabled: when no older server runs, run `sprocket-grpc repack --enable`"
            )
        total, packed = await database.read(chart_pages.read_unpacked()), 0
        while pages := await _pack_all(database, packed, total):
            packed += pages
        left = await database.read(chart_pages.read_unpacked())
    click.echo(f"packed {packed * PAGE_ENTRIES:,} entries" + (f"; {left * PAGE_ENTRIES:,} are left" if left else ""))


async def _pack_all(database: Database, packed: int, total: int) -> int:
    """Pack all charts once, and return the number of new pages."""
    packer, made, reported = Packer(database), 0, time.monotonic()
    while (pages := await packer.step()) is not None:
        made += pages
        if time.monotonic() > reported + _REPORT_SECONDS:
            reported = time.monotonic()
            click.echo(f"packed {(packed + made) * PAGE_ENTRIES:,} of {total * PAGE_ENTRIES:,} entries")
    return made


async def _verify(url: str) -> None:
    key, verified, damaged = PageKey(chart_pages.NIL_ID, 0), 0, 0
    async with _connected(url) as database:
        while pages := await database.read(chart_pages.read_pages_after(key, _PAGES_OF_READ)):
            for stored in pages:
                page = stored.page
                if problem := find_problem(stored) or _gap(key, stored):
                    damaged += 1
                    click.echo(
                        f"factory {page.factory_id}, sequences {page.first_sequence} to {page.last_sequence}: {problem}"
                    )
                key = PageKey(page.factory_id, page.last_sequence)
            verified += len(pages)
    click.echo(f"{verified:,} pages are verified, {damaged:,} are damaged")
    if damaged:
        raise SystemExit(1)


def _gap(before: PageKey, stored: StoredPage) -> str | None:
    """Return which entries are missing before a page. The first page of a chart may have some that have expired."""
    is_first, first = before.factory_id != stored.page.factory_id, stored.page.first_sequence
    missing = stored.chart_start if is_first else before.last_sequence + 1
    is_there = first <= missing if is_first else first == missing
    return None if is_there else f"the entries from sequence {missing} before it are missing"
