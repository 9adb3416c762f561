"""Options that the programs share: how long they run, and the seed of all that they draw."""

import random
import re

import click

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SEEDS = 1_000_000


class Duration(click.ParamType[float]):
    """A duration in seconds: `90`, `90s`, `5m` or `8h`."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration in seconds."""
        match = _DURATION.fullmatch(str(value))
        if not match or not float(match[1]):
            self.fail(f"{value!r}: expected a number of seconds, or one with s, m or h: 90s, 5m, 8h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


def new_seed() -> int:
    """Draw a seed, for programs that were given none."""
    return random.SystemRandom().randrange(_SEEDS)
