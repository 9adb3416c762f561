"""What `--since` takes: how long ago, or a time."""

import re
from dataclasses import dataclass

import click

from sprocket_grpc.cli.chart.times import DAY, EPOCH, HOUR, MINUTE, SECOND, now_micros, parse_rfc_3339, to_micros

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_FIRST = to_micros(EPOCH.replace(year=1))


@dataclass(frozen=True)
class Since:
    """Where a drawing begins.

    Attributes:
        micros: So long before now if it is `ago`, or else since 1970.
        ago: Whether the beginning moves on as time does.
    """

    micros: int
    ago: bool

    def start(self, now: int) -> int:
        """Return the beginning in microseconds since 1970, for a time that is now."""
        return now - self.micros if self.ago else self.micros


class SinceType(click.ParamType[Since]):
    """Reads `--since`."""

    name = "since"

    def convert(self, value: str | Since, param: click.Parameter | None, ctx: click.Context | None) -> Since:
        """Read a value, or say what is expected."""
        if isinstance(value, Since):
            return value
        since = _read(value)
        if since is None:
            self.fail(f"{value!r} is neither like 90s, 30m, 12h, 7d or 4w nor like 2026-01-31T12:00:00Z", param, ctx)
        now = now_micros()
        if not _FIRST <= since.start(now) < now:
            self.fail(f"{value!r} is not in the past, or too far in it", param, ctx)
        return since


def _read(value: str) -> Since | None:
    if match := _AGO.fullmatch(value):
        return Since(int(match[1]) * _UNITS[match[2]], ago=True)
    try:
        return Since(parse_rfc_3339(value), ago=False)
    except ValueError:
        return None
