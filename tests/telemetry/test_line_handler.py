"""Log lines are written in batches, without delay and without loss."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from sprocket_grpc.telemetry.line_handler import WITHIN_SECONDS, LineHandler

PATIENCE_SECONDS = 15

LOGS_AND_ENDS = """
import asyncio, logging
from sprocket_grpc.telemetry.logs import configure_logging
configure_logging("INFO", "text")
async def main(): logging.info("the last line")
asyncio.run(main())
"""


class Stream:
    """Records every write."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    def write(self, text: str) -> None:
        self.writes.append(text)

    def flush(self) -> None:
        """Do nothing."""


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def log(stream: Stream) -> Iterator[logging.Logger]:
    logger = logging.Logger("lines")  # noqa: LOG001  # for this test alone
    handler = LineHandler()
    handler.setStream(stream)
    logger.addHandler(handler)
    yield logger
    handler.close()


async def test_lines_that_are_logged_together_are_written_together_in_order(
    log: logging.Logger, stream: Stream
) -> None:
    for number in range(3):
        log.info("%d", number)
    assert stream.writes == []
    await asyncio.sleep(10 * WITHIN_SECONDS)
    log.info("later")
    await asyncio.sleep(10 * WITHIN_SECONDS)
    assert stream.writes == ["0\n1\n2\n", "later\n"]


async def test_a_warning_is_written_immediately_after_the_lines_before_it(log: logging.Logger, stream: Stream) -> None:
    log.info("before")
    log.warning("now")
    assert stream.writes == ["before\nnow\n"]


def test_without_an_event_loop_every_line_is_written_immediately(log: logging.Logger, stream: Stream) -> None:
    log.info("first")
    log.info("second")
    assert stream.writes == ["first\n", "second\n"]


async def test_lines_of_other_threads_are_written_immediately(log: logging.Logger, stream: Stream) -> None:
    log.info("of the loop")
    await asyncio.to_thread(log.info, "of a thread")
    assert stream.writes == ["of the loop\nof a thread\n"]


def test_a_thread_can_log_after_another_one_has_written_lines(log: logging.Logger, stream: Stream) -> None:
    log.info("first")
    thread = threading.Thread(target=log.info, args=["second"], daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert stream.writes == ["first\n", "second\n"]


def test_lines_left_over_by_one_event_loop_are_written_with_those_of_the_next(
    log: logging.Logger, stream: Stream
) -> None:
    async def say(word: str) -> None:
        log.info(word)
        await asyncio.sleep(0)

    async def wait() -> None:
        await say("second")
        await asyncio.sleep(10 * WITHIN_SECONDS)

    asyncio.run(say("first"))
    asyncio.run(wait())
    assert stream.writes == ["first\nsecond\n"]


def test_no_line_is_lost_when_the_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", LOGS_AND_ENDS], capture_output=True, text=True, check=True)
    assert "the last line" in ended.stderr


WRITES_MUCH = """
import asyncio, logging, sys
from sprocket_grpc.telemetry.logs import configure_logging
configure_logging("INFO", "json")
async def main():
    for _ in range(30):
        for _ in range(100):
            logging.info(sys.argv[1] * 300)
        await asyncio.sleep(0.03)
asyncio.run(main())
"""


def test_lines_of_several_processes_are_not_mixed_in_a_pipe_that_is_read_slowly() -> None:
    reading, writing = os.pipe()
    writers = [subprocess.Popen([sys.executable, "-c", WRITES_MUCH, name], stderr=writing) for name in "abc"]
    os.close(writing)
    output = bytearray()
    while part := os.read(reading, 1000):
        output += part
        time.sleep(0.0003)  # so that the pipe is full, and all writers wait
    os.close(reading)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    messages = Counter(json.loads(line)["message"] for line in output.splitlines())
    assert messages == {name * 300: 3000 for name in "abc"}
