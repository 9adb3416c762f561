"""What the programs in reliability/ have in common: options, and how they end."""

import asyncio
import os
import signal

import click
import pytest

from reliability.options import Duration
from reliability.running import run_until_signal

PATIENCE_SECONDS = 60


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("8h", 28800), ("0.5m", 30)])
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "h", "5d", "-5s", "5 m"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="8h"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_a_run_and_what_it_has_started(number: signal.Signals) -> None:
    ended = []

    async def run() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            ended.append(number)

    run_until_signal(run())
    assert ended == [number]
