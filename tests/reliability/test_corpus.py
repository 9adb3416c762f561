"""Replays the calls that once failed, which `make fuzz` and `make attack` found."""

import asyncio
import logging
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from reliability.fuzz.calls import Request, send_body
from reliability.fuzz.case import Case, parse
from reliability.fuzz.judge import INSIDES
from reliability.fuzz.port import Method
from tests.support.service import Service

PATIENCE_SECONDS = 60
CASES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "corpus").glob("*.txt"))}


@pytest.mark.parametrize("name", CASES)
async def test_a_call_that_once_failed_is_answered_as_it_must_be(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    case = parse(CASES[name])
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await send_body(service.address, request_of(case))
    assert answer.code in case.expect.split(), case.why
    assert not INSIDES.search(answer.details)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def request_of(case: Case) -> Request:
    """Return the call of a case; what its messages mean does not matter here."""
    method = Method(case.path, Empty, Empty, client_streaming=False, server_streaming=False)
    return Request(case.why, method, case.metadata, body=case.body)


def test_a_case_survives_its_file() -> None:
    metadata = (("x-request-id", "a=b: c"), ("grpc-timeout", ""), ("x", b"\xff"))
    case = Case("It hung: for ever", "/a.B/C", metadata, bytes(range(256)), "OK NOT_FOUND")
    assert parse(case.text()) == case


def test_a_file_of_a_case_has_no_credentials() -> None:
    case = Case("", "/a.B/C", (("authorization", "Bearer secret"),), b"", "OK")
    assert "secret" not in case.text()


@pytest.mark.parametrize("name", CASES)
def test_every_case_expects_codes_that_exist_and_no_defect(name: str) -> None:
    expected = parse(CASES[name]).expect.split()
    assert expected
    assert set(expected) <= set(grpc.StatusCode.__members__) - {"UNKNOWN", "INTERNAL"}
