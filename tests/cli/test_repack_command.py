"""`sprocket-grpc repack`: packs what is there, can be killed and run again, and finds damaged pages."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from sprocket_grpc.storage.chart_pages import KEPT_ENTRIES, PAGE_ENTRIES
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.command_line import environment, run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PAGES = 4
ENTRIES = PAGES * PAGE_ENTRIES + KEPT_ENTRIES

_GROW = [
    """
    INSERT INTO chart_entry SELECT id, n, chart_time_micros + n, 7, n
    FROM factory, generate_series(21, :entries) AS n
    """,
    "UPDATE factory SET chart_sequence = :entries, chart_time_micros = chart_time_micros + :entries",
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """The database of before, with three charts that can be packed, and where that is not enabled."""
    with create_plain_engine(database_url).connect() as made:
        made.execution_options(isolation_level="AUTOCOMMIT")
        seed(made)
        made.execute(text("DELETE FROM chart_packing"))
        made.execute(text("DELETE FROM chart_expiry"))
        for statement in _GROW:
            made.execute(text(statement), {"entries": ENTRIES})
        yield made


def pages(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM chart_page")) or 0)


def enable(database_url: str) -> None:
    assert run("repack", "--enable", database_url=database_url).status == 0


def test_nothing_is_packed_until_the_operator_says_that_no_older_server_runs(
    database_url: str, connection: Connection
) -> None:
    refused = run("repack", database_url=database_url)
    refused.assert_refused()
    assert "sprocket-grpc repack --enable" in refused.errors
    assert pages(connection) == 0
    enable(database_url)
    finished = run("repack", database_url=database_url)
    assert (finished.status, pages(connection)) == (0, 3 * PAGES), finished
    assert f"packed {3 * PAGES * PAGE_ENTRIES:,} entries\n" in finished.output


def test_a_repack_that_was_killed_goes_on_where_it_was(database_url: str, connection: Connection) -> None:
    enable(database_url)
    command = [sys.executable, "-m", "sprocket_grpc", "repack"]
    with subprocess.Popen(
        command, env=environment({"database_url": database_url}), stdout=subprocess.DEVNULL
    ) as killed:
        wait_until(lambda: pages(connection) > 0)
        killed.kill()
    before = pages(connection)
    assert run("repack", database_url=database_url).status == 0
    assert 0 < before <= pages(connection) == 3 * PAGES
    verified = run("repack", "--verify", database_url=database_url)
    assert (verified.status, verified.output.splitlines()[-1]) == (0, "12 pages are verified, 0 are damaged")
    assert connection.scalar(text("SELECT count(*) FROM chart_entry")) == 3 * KEPT_ENTRIES


def test_pages_are_verified_and_made_from_the_first_entry_that_is_kept(
    database_url: str, connection: Connection
) -> None:
    enable(database_url)
    assert run("repack", database_url=database_url).status == 0
    expire = text(
        "SELECT expire_chart_before(id, first_time_micros + 9, 100000) FROM factory JOIN chart_page"
        " ON factory_id = id AND first_sequence = :first"
    )
    for first, pages_left in ((PAGE_ENTRIES + 1, 3), (2 * PAGE_ENTRIES + 1, 2)):
        connection.execute(expire, {"first": first})
        verified = run("repack", "--verify", database_url=database_url)
        assert (verified.status, pages(connection)) == (0, 3 * pages_left), verified
    within_rows = text("SELECT expire_chart_before(id, chart_time_micros - :rows, 100000) FROM factory")
    connection.execute(within_rows, {"rows": KEPT_ENTRIES // 2})
    for statement in _GROW:
        connection.execute(text(statement.replace("(21,", f"({ENTRIES + 1},")), {"entries": 2 * ENTRIES})
    finished = run("repack", database_url=database_url)
    assert finished.status == 0, finished
    verified = run("repack", "--verify", database_url=database_url)
    assert (verified.status, verified.output.splitlines()[-1]) == (0, "12 pages are verified, 0 are damaged")


def test_verify_compares_what_is_stored_beside_a_page_with_its_entries(
    database_url: str, connection: Connection
) -> None:
    enable(database_url)
    assert run("repack", database_url=database_url).status == 0
    for column, page, problem in (
        ("first_time_micros = first_time_micros - 1", 1, "its times are not those of its first and last entry"),
        ("last_time_micros = last_time_micros + 1", 2, "its times are not those of its first and last entry"),
        ("outline[4][4] = outline[4][4] + 1", 3, "its outline is not that of its entries"),
        ("outline[1][1] = outline[1][1] + 1", 4, "its outline is not that of its entries"),
    ):
        last = page * PAGE_ENTRIES
        connection.execute(text(f"UPDATE chart_page SET {column} WHERE last_sequence = {last}"))  # noqa: S608  # our own
        verified = run("repack", "--verify", database_url=database_url)
        assert verified.status == 1
        assert verified.output.count(f"sequences {last - PAGE_ENTRIES + 1} to {last}: {problem}") == 3


def test_verify_lists_all_damaged_pages(database_url: str, connection: Connection) -> None:
    enable(database_url)
    assert run("repack", database_url=database_url).status == 0
    damaged, deleted, last = (number * PAGE_ENTRIES for number in (2, 3, 4))
    damage = text("UPDATE chart_page SET wire = set_byte(wire, 99, 0) WHERE last_sequence = :last")
    connection.execute(damage, {"last": damaged})
    connection.execute(text("DELETE FROM chart_page WHERE last_sequence = :last"), {"last": deleted})
    verified = run("repack", "--verify", database_url=database_url)
    assert verified.status == 1
    assert verified.output.count(f"sequences {PAGE_ENTRIES + 1} to {damaged}: its checksum is") == 3
    missing = f"sequences {deleted + 1} to {last}: the entries from sequence {damaged + 1} before it are missing"
    assert verified.output.count(missing) == 3
    assert "9 pages are verified, 6 are damaged" in verified.output
