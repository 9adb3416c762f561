"""Reads the log of a running server process."""

import json
from typing import Any

import pytest

from tests.support.command_line import ServeProcess
from tests.support.waiting import until, wait_until

ACCESS = "sprocket_grpc.access"


def log_lines(served: ServeProcess) -> list[dict[str, Any]]:
    """Return the log so far; every complete line has to be a JSON object."""
    return [json.loads(line) for line in served.logged.splitlines(keepends=True) if line.endswith("\n")]


def access_line(served: ServeProcess, request_id: str) -> dict[str, Any]:
    """Wait for the line of the access log about a call."""

    def found() -> list[dict[str, Any]]:
        return [line for line in log_lines(served) if line["logger"] == ACCESS and line["request_id"] == request_id]

    wait_until(lambda: bool(found()))
    [line] = found()
    return line


async def until_ended(caplog: pytest.LogCaptureFixture, call: str) -> None:
    """Wait until the server logs the end of a call; the client of a failed call learns of it slightly earlier."""
    await until(lambda: f"{call}\n" in caplog.text)
