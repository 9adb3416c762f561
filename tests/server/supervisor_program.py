"""Supervises workers that behave in the way of its argument: the process of test_supervisor.py."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable

import uuid_utils

from sprocket_grpc.server import worker_process
from sprocket_grpc.server.run import Started, StopSignals
from sprocket_grpc.server.supervisor import supervise
from sprocket_grpc.server.worker_process import Announce
from sprocket_grpc.telemetry.logs import configure_logging

LONGEST_STOP_SECONDS = 3
_START = worker_process.WorkerProcess.__init__
_failures = [BlockingIOError(11, "there is no process left")]


async def stops(announce: Announce) -> None:
    """Say which signals arrive, and end at SIGINT, which stops workers immediately."""
    signals = StopSignals(are_distinct=True)
    announce(Started(1, None, None, None))
    await signals.stop.wait()
    say("draining")
    await signals.stop_now.wait()
    say("stopped immediately")


async def ends_once(announce: Announce) -> None:
    """End with status 3 the first time; then stop as it should."""
    announce(Started(1, None, None, None))
    if len(_failures):
        sys.exit(3)
    say("replaced")
    await StopSignals(are_distinct=True).stop.wait()


async def never_gets_ready(_: Announce) -> None:
    say("starting")
    await asyncio.sleep(3600)


async def ignores_sigterm(announce: Announce) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    announce(Started(1, None, None, None))
    time.sleep(3600)  # noqa: ASYNC251  # it hangs


async def ignores_every_signal(announce: Announce) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    await ignores_sigterm(announce)


async def draws_random_numbers(announce: Announce) -> None:
    say(f"{random.random()} {str(uuid_utils.uuid7())[-12:]}")  # noqa: S311  # no secret
    announce(Started(1, None, None, None))
    await StopSignals(are_distinct=True).stop.wait()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fail_the_second_time(count: Callable[[], int]) -> None:
    """Let the second fork fail as it does when there are too many processes."""

    def start(process: worker_process.WorkerProcess, *arguments: object) -> None:
        if count() == 2:
            raise _failures.pop()
        _START(process, *arguments)  # type: ignore[arg-type]

    worker_process.WorkerProcess.__init__ = start  # type: ignore[method-assign,assignment]


def main(behaviour: str) -> None:
    configure_logging("INFO", "text")
    starts = iter(range(1, 100))
    if behaviour == "ends_once":
        fail_the_second_time(lambda: next(starts))
    work, count = globals()[behaviour], 2 if behaviour == "draws_random_numbers" else 1
    uuid_utils.uuid7()  # as the sample data does: generators that have started before the fork
    asyncio.run(supervise([work] * count, LONGEST_STOP_SECONDS, lambda _: say("ready")))


if __name__ == "__main__":
    main(sys.argv[1])
