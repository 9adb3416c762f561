"""The followers of `make chaos`: how they resume, and what of a stream's end they notice."""

from random import Random

import grpc
import pytest

from reliability.chaos.client import Notes
from reliability.chaos.followers import Follower
from reliability.chaos.ledger import Entry
from tests.support.chart_server import ChartServer, chart_response, chart_server

FACTORY_ID = "01771fc9-0000-7000-8000-000000000001"
SECOND = 1_000_000


def follower_of(server: ChartServer) -> Follower:
    return Follower("follower", server.address, Notes(), Random(1), [FACTORY_ID])  # this one does not begin anew


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED], ids=lambda code: code.name)
async def test_the_status_of_a_stream_is_noted(code: grpc.StatusCode) -> None:
    with chart_server(([chart_response("token")], code)) as server:
        follower = follower_of(server)
        await follower.work()
    assert [call.code for call in follower.notes.calls.take()] == [code]


async def test_a_stream_that_ends_without_an_error_is_a_problem() -> None:
    with chart_server(([chart_response("token")], grpc.StatusCode.OK)) as server:
        follower = follower_of(server)
        await follower.work()
    assert follower.notes.problems == ["follower: the stream ended without an error"]


async def test_a_broken_stream_is_resumed_with_the_last_token() -> None:
    unavailable = grpc.StatusCode.UNAVAILABLE
    streams = [([chart_response(f"token {n}", (n, n, n))], unavailable) for n in (1, 2)]
    with chart_server(*streams) as server:
        follower = follower_of(server)
        for _ in streams:
            await follower.work()
    assert [request.resume_token for request in server.requests] == ["", "token 1"]
    assert not follower.copies[FACTORY_ID].difference([Entry(n, n * SECOND, n, n) for n in (1, 2)])


@pytest.mark.parametrize("is_anew", [True, False], ids=["before it has all", "when it has all"])
async def test_a_follower_may_miss_entries_that_expire_only_while_it_reads_a_history_anew(*, is_anew: bool) -> None:
    with chart_server(([], grpc.StatusCode.OUT_OF_RANGE)) as server:
        follower = follower_of(server)
        follower.copies[FACTORY_ID].is_anew = is_anew
        await follower.work()
    assert [call.code for call in follower.notes.calls.take()] == ([] if is_anew else [grpc.StatusCode.OUT_OF_RANGE])
