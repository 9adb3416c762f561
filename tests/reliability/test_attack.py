"""The bounds of `make attack`, and the table that names its attacks."""

import asyncio
import re
import time

import pytest

from reliability import http2
from reliability.attack.__main__ import ATTACKS
from reliability.attack.crowd import spread
from reliability.attack.honest import Sample
from reliability.attack.stage import Measure, Seen
from tests import ROOT
from tests.support.service import Service

GET = "/sprocket.v1.LocationService/GetLocation"
CALLS = [Sample(number, 0.01, 0, "NOT_FOUND") for number in range(200)]


def failed(seen: Seen) -> list[str]:
    """Return the first word of each bound that is exceeded."""
    return [measure.what.split()[0] for measure in seen.measures() if not measure.is_met]


def test_the_document_has_a_row_for_each_attack() -> None:
    table = (ROOT / "docs" / "reliability.md").read_text().partition("| threat | attack |")[2]
    assert re.findall(r"^\| [^|]+ \| `(\w+)` \|", table, re.MULTILINE) == list(ATTACKS)


def test_a_bound_is_exceeded_only_above_it() -> None:
    assert Measure("", 5, 5).is_met
    assert not Measure("", 5.1, 5).is_met


@pytest.mark.parametrize(
    ("grown", "calls", "expected"),
    [
        (100, CALLS, []),
        (101, CALLS, ["memory"]),
        (0, [*CALLS, *[Sample(200, 5, 0, "OK")] * 10], ["p99"]),
        (0, [*CALLS, *[Sample(200, 5, 3, "OK")] * 10], []),  # the machine itself delayed the caller
        (0, [*CALLS, Sample(200, 0.01, 0, "CANCELLED")], ["honest"]),
    ],
)
def test_memory_and_the_honest_caller_have_bounds(grown: float, calls: list[Sample], expected: list[str]) -> None:
    seen = Seen(grown=grown, before=0.01)
    seen.judge(calls)
    assert failed(seen) == expected


async def test_what_is_not_done_in_time_is_cancelled_and_one_failure_ends_nothing_else() -> None:
    done, begin = list[int](), time.monotonic()

    async def send(number: int) -> None:
        if number == 0:
            raise ConnectionResetError
        await asyncio.sleep(0 if number == 1 else 60)
        done.append(number)

    await spread(0.2, send, 3)
    assert done == [1]
    assert time.monotonic() - begin < 30


async def test_frames_by_hand_are_understood_and_so_are_answers(service: Service) -> None:
    async with http2.connected(service.address) as connection:
        await connection.send(http2.request_headers(1, GET), http2.data(1, http2.message(b""), ends=True))
        code, details = await connection.answer()
    assert (code, details.split(":")[0]) == ("INVALID_ARGUMENT", "id")


async def test_an_upload_keeps_to_the_flow_control_of_the_server(service: Service) -> None:
    body = http2.message(bytes(1 << 20))
    async with asyncio.timeout(60), http2.connected(service.address) as connection:
        await connection.send(http2.request_headers(1, GET))
        await connection.upload(1, body)
        await connection.send(http2.data(1, b"", ends=True))
        assert (await connection.answer()).code == "INVALID_ARGUMENT"
