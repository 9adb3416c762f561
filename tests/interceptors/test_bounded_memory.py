"""What is remembered of callers is bounded, and the oldest goes first, since strangers can make up any number."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from sprocket_grpc.errors import NotFoundError, OverloadedError, UnauthenticatedError
from sprocket_grpc.interceptors import access_log, status
from sprocket_grpc.interceptors.access_log import REFUSED_LINES, AccessLog
from sprocket_grpc.interceptors.call import Call
from sprocket_grpc.interceptors.status import Code, to_status
from sprocket_grpc.telemetry.logs import FIELDS


class Transport:
    """The transport of a call from an address."""

    def __init__(self, peer: str) -> None:
        self.peer = peer


async def refuse(call: Call) -> None:
    call.status, call.reason = Code.UNAUTHENTICATED, "STRANGER"


async def refused(log: AccessLog, host: int) -> None:
    """Log a call from a host that was refused."""
    transport: Any = Transport(f"ipv4:10.0.0.{host}:4711")
    await log.intercept(Call("/a/b", transport, "7"), refuse)


async def test_a_few_lines_a_second_are_logged_of_the_refused_calls_of_each_caller(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "sprocket_grpc.access")
    now, log = 1000.0, AccessLog()
    monkeypatch.setattr(access_log, "time", SimpleNamespace(monotonic=lambda: now))
    for _ in range(REFUSED_LINES + 5):
        await refused(log, 1)
        await refused(log, 2)
    assert len(caplog.records) == 2 * REFUSED_LINES
    now += 1
    caplog.clear()
    await refused(log, 1)
    await refused(log, 1)
    left_out = [getattr(each, FIELDS).get("refused_without_line") for each in caplog.records]
    assert left_out == [5, None]


async def test_the_oldest_of_too_many_refused_callers_is_forgotten(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "sprocket_grpc.access")
    monkeypatch.setattr(access_log, "_MOST_SAMPLES", 2)
    log = AccessLog()
    for host in (1, 2, 1, 3):
        await refused(log, host)
    assert list(log._samples) == [("STRANGER", "ipv4:10.0.0.2"), ("STRANGER", "ipv4:10.0.0.3")]


def test_statuses_of_floods_are_kept_but_few_and_are_those_that_others_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: dict[Any, bytes] = {}
    monkeypatch.setattr(status, "_kept", kept)
    monkeypatch.setattr(status, "_MOST_KEPT", 2)
    first = to_status(OverloadedError("1 calls"), "7")
    assert first == to_status(OverloadedError("1 calls"), "7")
    assert first != to_status(OverloadedError("1 calls"), "8")
    assert [text for _, text in kept] == [str(OverloadedError("1 calls"))]
    for error in (UnauthenticatedError(), OverloadedError("2 calls")):
        to_status(error, "7")
    assert [kind for kind, _ in kept] == [UnauthenticatedError, OverloadedError]


def test_statuses_that_depend_on_more_than_their_text_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[Any, bytes] = {}
    monkeypatch.setattr(status, "_kept", kept)
    to_status(NotFoundError("factory", "1"), "7")
    assert kept == {}
